#!/usr/bin/env python3
"""relearn report: the numbers in the page and its CSV are those of results.h5, computed here a second time and another way; what is missing is
marked; what is no store is refused in one line. Runs the Python package as the program does.

exit 77: h5py or numpy is missing
"""

import contextlib
import csv
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
ANALYSIS = os.path.join(HERE, "..", "..", "analysis")
sys.path[:0] = [ANALYSIS, HERE]
import make_store  # noqa: E402
from relearn_analysis import command, measures, paper  # noqa: E402


def run(*arguments):
    """In this process: importing numpy for every test would take most of the time. test_as_a_program starts it as a user does."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command.main(list(arguments))
    return code, out.getvalue(), err.getvalue()


class Case(unittest.TestCase):
    """Assertions on a page that do not print the page."""

    def has(self, page, text):
        if text not in page:
            nearest = [p for p in re.split(r"<[^>]*>", page) if text[:12] in p]
            self.fail(f"the page lacks {text!r}; nearest: {nearest[:3]}")

    def lacks(self, page, pattern):
        found = re.search(pattern, page)
        if found:
            self.fail(f"the page has {page[max(0, found.start() - 80) : found.end() + 80]!r}")


def rows_of(folder, name):
    with open(os.path.join(folder, "report", "data", f"{name}.csv"), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Report(Case):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.folder = self.place.name
        self.path = os.path.join(self.folder, "results.h5")

    def tearDown(self):
        self.place.cleanup()

    def report(self, *options, **store):
        if store or not os.path.exists(self.path):
            make_store.write(self.path, **store)
        code, out, err = run("report", self.folder, *options)
        self.assertEqual((code, err), (0, ""), err)
        self.assertEqual(out.strip(), os.path.join(self.folder, "report", "index.html"))
        with open(out.strip(), encoding="utf-8") as file:
            return file.read()

    def refused(self, pattern, *options):
        code, out, err = run("report", self.folder, *options)
        self.assertEqual(code, 2, err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertRegex(err, r"^relearn: .*" + pattern)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "report")))

    # -------------------------------------------------------------------------------- the numbers

    def test_saliency_by_layer_is_that_of_the_store(self):
        self.report(axes={"prune.select": ["concept", "random"]}, seeds=3)
        rows = rows_of(self.folder, "saliency_by_layer")
        with h5py.File(self.path) as f:
            for arm, select in (("concept", b"concept"), ("random", b"random")):
                runs = f["runs/run"][f["runs/prune.select"][:] == select]
                at = np.isin(f["neurons/tiny/run"][:], runs)
                for row in (r for r in rows if r["arm"] == arm):
                    s = make_store.STAGES.index(row["stage"])
                    inside = f["neurons/tiny/layer"][:] == int(row["layer"])
                    values = f["neurons/tiny/saliency"][:][at][:, s][:, inside]
                    expected = np.mean([np.nanmean(v) for v in values])
                    self.assertLess(abs(float(row["mean_saliency"]) - expected), 1e-12)
                    self.assertEqual(int(row["seeds"]), 3)
        self.assertEqual(len(rows), 2 * 4 * 4)

    def test_recovery_half_life_and_area_follow_their_definitions(self):
        self.report(axes={"prune.select": ["concept", "random"]}, seeds=3)
        with h5py.File(self.path) as f:
            expected = {}
            for i, run_id in enumerate(f["runs/id"].asstr()[:]):
                base, pruned = f["runs/f1_base"][i], f["runs/f1_pruned"][i]
                curve = np.r_[pruned, f["training/f1"][i, 2], f["training/f1"][i, 3]]
                rho = (curve - pruned) / (base - pruned)
                half = next(e for e in range(1, 5) if rho[e] >= 0.5)
                expected[run_id] = (rho[-1], half, sum((rho[k] + rho[k + 1]) / 2 for k in range(4)) / 4)
        for row in rows_of(self.folder, "runs"):
            for name, value in zip(("recovered", "half_life", "area"), expected[row["run"]]):
                self.assertLess(abs(float(row[name]) - value), 1e-12, name)

    def test_sentence_and_card_carry_the_mean_and_the_two_seeds(self):
        page = self.report(seeds=2)
        rows = rows_of(self.folder, "runs")
        values = [float(r["recovered"]) for r in rows]
        self.has(page, f"{np.mean(values):.3f} (2 seeds: {values[0]:.3f} and {values[1]:.3f}; no interval)")
        self.has(page, f'<span class="big">{100 * np.mean(values):.0f} %</span>')

    def test_spearman_ties_and_relocation_flow(self):
        self.assertEqual(measures.ranks([10, 20, 20, 5]).tolist(), [2, 3.5, 3.5, 1])
        self.assertAlmostEqual(
            measures.spearman(np.array([1, 2, 3, 4.0]), np.array([1, 3, 2, 4.0])), 0.8
        )  # 1 - 6 * 2 / (4 * 15)
        self.assertTrue(math.isnan(measures.spearman(np.ones(4), np.arange(4.0))))
        flow = measures.monotone_flow([0, 1, 1], [1, 1, 0])
        self.assertEqual(flow.tolist(), [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])
        np.testing.assert_allclose(measures.jaccard_by_chance(50, 50, 100), 25 / 75)

    def test_seed_agreement_and_its_chance(self):
        self.report(seeds=3)
        row = rows_of(self.folder, "seed_agreement")[0]
        with h5py.File(self.path) as f:
            a, b = f["neurons/tiny/saliency"][0], f["neurons/tiny/saliency"][1]
        could = ~(a[0] > 0.5) & ~(b[0] > 0.5)
        first, second = (a[-1] > 0.5) & could, (b[-1] > 0.5) & could
        self.assertAlmostEqual(float(row["jaccard"]), (first & second).sum() / (first | second).sum())
        expected = first.sum() * second.sum() / could.sum()
        self.assertAlmostEqual(float(row["jaccard_by_chance"]), expected / (first.sum() + second.sum() - expected))

    def test_polysemantic_neurons_add_up_and_examples_have_both_kinds_of_words(self):
        page = self.report(axes={"prune.select": ["concept", "random"]}, seeds=2)
        for row in rows_of(self.folder, "polysemanticity"):
            self.assertEqual(int(row["neurons"]), sum(int(row[k]) for k in ("old_only", "both", "new_only", "neither")))
        examples = rows_of(self.folder, "example_neurons")
        with h5py.File(self.path) as f:
            base = f["words/tiny/word"][0, 0]
            for row in examples:
                words = row["top_words"].split()
                if row["stage"] == "base":
                    self.assertEqual(words, [make_store.VOCABULARY[w] for w in base[int(row["neuron"])] if w >= 0])
        self.has(page, "<mark>")

    def test_finders_are_compared_where_they_are_an_axis(self):
        page = self.report(axes={"rank.method": ["probeless", "gradient"]}, seeds=2)
        row = rows_of(self.folder, "finder_agreement")[0]
        self.assertEqual((row["finder_a"], row["finder_b"], row["pairs"]), ("gradient", "probeless", "2"))
        self.assertAlmostEqual(
            float(row["overlap_top_10_percent"]), 1.0
        )  # the synthetic ranks depend on the seed alone
        self.lacks(page, "add <code>rank.method")
        self.report(axes={"rank.method": ["probeless", "gradient"]}, seeds=1, width=42)  # a tenth of 168 neurons is 17, as in /stats
        with h5py.File(self.path, "r+") as f:
            rank = f["neurons/tiny/rank"]
            rank[1, 0] = (rank[0, 0] + 1) % 168
        self.report()
        self.assertAlmostEqual(float(rows_of(self.folder, "finder_agreement")[0]["overlap_top_10_percent"]), 16 / 17)

    def test_what_is_no_axis_is_named(self):
        page = self.report(seeds=2)
        for axis in ("rank.method", "model", "prune.permanent"):
            self.has(page, f"add <code>{axis}")

    def test_an_axis_that_is_proposed_is_one_that_relearn_takes(self):
        """What the page says to add to the grid is pasted into a sweep: names are those of the program's own lists."""
        names = set()
        for source in ("concept/finders.c", "concept/prune.c", "sweep/schema.c"):
            with open(os.path.join(ANALYSIS, "..", "src", *source.split("/")), encoding="utf-8") as file:
                names |= set(re.findall(r'"([a-z_]+)"', file.read()))
        page = self.report(seeds=2)
        offers = re.findall(r"[Aa]dd <code>(rank\.method|prune\.site|prune\.select): \[([a-z_, ]+)\]</code>", page)
        self.assertEqual({axis for axis, _ in offers}, {"rank.method", "prune.site", "prune.select"})
        for axis, values in offers:
            for value in values.split(", "):
                self.assertIn(value, names, axis)

    def test_concept_f1_and_the_fine_curve_are_shown_where_they_are(self):
        page = self.report(axes={"prune.select": ["concept", "random"]}, seeds=2, curve=True)
        self.has(page, 'id="concept"')
        with h5py.File(self.path) as f:
            rows = f["runs/prune.select"].asstr()[:] == "random"
            expected = f["runs/concept_f1_retrained_1"][:][rows].mean()
            rho, step = f["curve/recovered"][:], f["curve/step"][:]
            quarter = np.median(
                [
                    min(s[k] for s, y in zip(step[i], rho[i]) for k in range(len(y)) if y[k] >= 0.25)
                    for i in np.flatnonzero(~rows)
                ]
            )
        row = next(
            r for r in rows_of(self.folder, "concept_f1") if r["arm"] == "random" and r["stage"] == "retrained_1"
        )
        self.assertAlmostEqual(float(row["concept_f1"]), expected)
        self.has(page, f"A quarter of the lost F1 is back after {quarter:g} steps")
        self.lacks(self.report(seeds=2), 'id="(concept|steps)"')

    def test_every_reading_of_the_store_has_its_figure(self):
        page = self.report(axes={"prune.select": ["concept", "random"]}, seeds=6, readings=True)
        for name in ("types", "also", "cka", "primedness", "entropy", "meanings", "causal", "finders_within"):
            self.assertIn(f'<figure id="{name}"', page, name)
        self.has(page, "pruning took most from <em>LOC</em>: 0.501")
        self.has(page, "The others lost PER 0.100")
        self.has(page, "with the unpruned model right after pruning and of 0.875 (95 % interval")
        self.has(page, "have a rank correlation of +0.253 (95 % interval")
        self.has(page, "32.5 % (95 % interval")  # new words of the concept at the end: 0.3 + mean seed / 100
        self.has(page, "Newly salient minus random: +0.200")
        self.has(page, "<em>gaussian</em> names the most of the same neurons in base: of the most important hundredth 0.60")
        cka = [r for r in rows_of(self.folder, "cka") if r["arm"] == "concept" and r["stage"] == "pruned" and r["layer"] == "0"]
        self.assertEqual((len(cka), cka[0]["seeds"]), (1, "6"))
        self.assertAlmostEqual(float(cka[0]["cka"]), 0.475)
        self.assertTrue(float(cka[0]["low"]) < 0.475 < float(cka[0]["high"]))
        animal = [r for r in rows_of(self.folder, "other_concepts") if r["concept"] == "animal"]
        self.assertEqual({r["spearman_base_last"] for r in animal}, {"1.0"})
        self.has(page, "the concept rests on them more than on others of their layers")
        with h5py.File(self.path, "r+") as f:
            f["causal/count"][:, :, 2] = 7
        self.has(self.report(), "no fair comparison: 40 and 7 neurons")

    def test_few_seeds_have_no_95_percent(self):
        page = self.report(axes={"prune.select": ["concept", "random"]}, seeds=3, readings=True)
        self.lacks(page, r"3 seeds[^.]{0,40}95 % interval|95 % interval[^.]{0,60}3 seeds")

    def test_bca_is_scipys(self):
        try:
            from scipy.stats import bootstrap
        except ImportError:
            self.skipTest("scipy is missing")
        values = np.array([0.31, 0.42, 0.35, 0.77, 0.39, 0.44, 0.36])
        expected = bootstrap((values,), np.mean, n_resamples=40000, method="BCa", random_state=1).confidence_interval
        low, high = measures.bca(values)
        self.assertAlmostEqual(low, expected.low, delta=0.01)  # two draws of a bootstrap
        self.assertAlmostEqual(high, expected.high, delta=0.01)
        self.assertIsNone(measures.bca(values[:5]))
        self.assertEqual(measures.bca([0.5] * 6), (0.5, 0.5))

    def test_nights_come_from_the_journal(self):
        make_store.write(self.path, seeds=3)
        with h5py.File(self.path) as f:
            ids = f["runs/id"].asstr()[:]
        make_store.journal(
            os.path.join(self.folder, "journal.jsonl"), dict(zip(ids, ("2026-01-01", "2026-01-01", "2026-01-02")))
        )
        page = self.report()
        self.has(page, 'id="drift"')
        self.assertEqual(
            [r["night"] for r in rows_of(self.folder, "nights")], ["2026-01-01", "2026-01-01", "2026-01-02"]
        )

    def test_what_nightly_flagged_is_told_and_a_torn_report_is_not(self):
        make_store.write(self.path, seeds=3)
        os.mkdir(os.path.join(self.folder, "nightly"))
        metric = {
            "metric": "f1 <base>",
            "mean_before": 0.9,
            "mean_now": 0.7,
            "predicted_low": 0.88,
            "predicted_high": 0.92,
        }
        unknown = {"metric": "f1 pruned", "mean_before": None, "mean_now": None, "adjusted_p": None, "moved": False}
        report = {"time": "2026-01-03T03:00:00Z", "metrics": [{**metric, "adjusted_p": 0.006, "moved": True}, unknown]}
        with open(os.path.join(self.folder, "nightly", "1.json"), "w") as file:
            json.dump(report, file)
        with open(os.path.join(self.folder, "nightly", "2.json"), "w") as file:
            file.write('{"time": "2026')
        page = self.report()
        self.has(
            page,
            "flagged 1 of 2 metrics of night 2026-01-03: <em>f1 &lt;base&gt;</em> (0.900 before, 0.700 now, adjusted p = 0.006)",
        )
        rows = rows_of(self.folder, "nightly")
        self.assertEqual([(r["mean_now"], r["moved"]) for r in rows], [("0.7", "1"), ("", "0")])

    # -------------------------------------------------------------------------------- what is missing

    def test_one_seed_has_no_interval_and_says_so(self):
        page = self.report(axes={"prune.select": ["concept", "random"]}, seeds=1)
        self.has(page, "One seed per arm")
        self.has(page, "(one seed, so no interval)")
        self.lacks(page, r"95 % interval [\d−+]")
        self.has(page, "undecided")
        self.lacks(page, "as in the paper|unlike the paper")

    def test_one_run(self):
        page = self.report(seeds=1)
        self.has(page, "1 run planned: 1 done")

    def test_failed_and_planned_runs_are_marked_and_lower_n(self):
        page = self.report(axes={"prune.select": ["concept", "random"]}, seeds=3, failed=[1], planned=[5])
        self.has(page, "6 runs planned: 4 done, 1 failed, 1 still to come")
        self.has(page, "concept (2 of 3 done, 1 failed)")
        self.has(page, 'class="failed"')
        self.has(page, "the loss is NaN at step 3 &lt;script&gt;")
        rows = {r["run"]: r for r in rows_of(self.folder, "runs")}
        self.assertEqual([r["f1_base"] == "" for r in rows.values()], [False, True, False, False, False, True])
        self.assertEqual({r["seeds"] for r in rows_of(self.folder, "saliency_by_layer")}, {"2"})

    def test_nan_is_a_gap_never_zero(self):
        page = self.report(seeds=3, nan=[1])
        self.has(page, "1 seed without a value")
        self.has(page, "1 done run has no recovered share")
        row = rows_of(self.folder, "runs")[1]
        self.assertEqual((row["f1_base"], row["recovered"], row["half_life"]), ("", "", ""))
        self.lacks(page, r"\bnan\b")

    def test_all_nan_still_reports(self):
        page = self.report(seeds=2, nan=[0, 1])
        self.has(page, "no value")
        self.lacks(page, r"\bnan\b")

    def test_no_words(self):
        self.has(self.report(seeds=2, words=False), "holds no top words")

    def test_ratio_and_models_as_axes(self):
        page = self.report(axes={"prune.ratio": [0.1, 0.3]}, seeds=2, model=["tiny", "small"])
        self.has(page, 'id="families"')
        self.assertEqual({r["model"] for r in rows_of(self.folder, "families")}, {"tiny", "small"})

    # -------------------------------------------------------------------------------- self-contained

    def test_the_page_fetches_nothing_and_escapes_what_it_shows(self):
        page = self.report(seeds=2, sweep="<script>alert(1)</script>")
        self.lacks(page, "<script>alert")
        self.lacks(page.replace("http://www.w3.org/2000/svg", ""), r"https?://|@import|<link rel=.stylesheet|src=")
        self.assertLess(len(page), 5_000_000)
        for needed in ("prefers-color-scheme:dark", "@media print", 'name="viewport"'):
            self.has(page, needed)

    def test_as_a_program(self):
        make_store.write(self.path, seeds=1)
        done = subprocess.run(
            [sys.executable, "-W", "error", ANALYSIS, "report", self.folder], capture_output=True, text=True
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = subprocess.run([sys.executable, ANALYSIS, "report"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)

    def test_the_same_store_gives_the_same_page(self):
        self.assertEqual(self.report(seeds=2), self.report())

    # -------------------------------------------------------------------------------- /stats

    def test_intervals_and_verdicts_come_from_stats(self):
        make_store.write(self.path, axes={"prune.select": ["concept", "random"]}, seeds=6)
        make_store.stats(self.path)
        page = self.report()
        self.has(page, "95 % interval 0.123 to 0.987")  # the invented interval of rho, word for word
        self.has(page, "claimed")
        self.has(page, "as in the paper")
        self.lacks(page, "no /stats")
        row = next(r for r in rows_of(self.folder, "saliency_by_layer") if r["stage"] == "base" and r["layer"] == "2")
        self.assertEqual((row["low"], row["high"]), ("0.25", "0.75"))

    def test_each_verdict_follows_its_interval(self):
        for sign, word, other in (
            (-1, "as in the paper", "unlike the paper"),
            (+1, "unlike the paper", "as in the paper"),
        ):
            make_store.write(self.path, axes={"prune.select": ["concept", "random"]}, seeds=6)
            make_store.stats(self.path, sign=sign)
            page = self.report()
            for question in ("q5", "q6"):
                section = page.split(f'<section id="{question}">')[1].split("</section>")[0]
                self.has(section, word)
                self.lacks(section, other)

    def section(self, page, question):
        return page.split(f'<section id="{question}">')[1].split("</section>")[0]

    def test_primed_needs_both_of_its_measures(self):
        """Saliency before pruning says yes throughout; similarity to the concept says yes, nothing, no."""
        for primed, word, reason in ((+1, "as in the paper", "agrees"), (0, "undecided", "includes 0"), (-1, "undecided", "but similarity to the concept before pruning goes with less")):
            make_store.write(self.path, axes={"prune.select": ["concept", "random"]}, seeds=6)
            make_store.stats(self.path, primed=primed)
            section = self.section(self.report(), "q6")
            self.has(section, f"{word}</span></p>")
            self.has(section, reason)
            self.has(section, "Over the neurons of all 12 runs")

    def test_more_than_half_is_not_as_much_as_in_the_paper(self):
        for interval, word, sentence in (
            ((0.6, 0.7), "less than in the paper", "less than the paper's 98 %"),
            ((0.6, 0.99), "as in the paper", "no different from the paper's 98 %"),
            ((0.98, 0.99), "as in the paper", "more than the paper's 98 %"),
        ):
            make_store.write(self.path, axes={"prune.select": ["concept", "random"]}, seeds=6)
            make_store.stats(self.path, two_epochs=interval)
            with h5py.File(self.path, "r+") as f:
                f["stats/recovery/rho_low"][...] = 0.6
            section = self.section(self.report(), "q2")
            self.has(section, f"{word}</span></p>")
            self.has(section, sentence)

    def test_what_the_removal_moved_is_not_put_down_to_relearning(self):
        make_store.write(self.path, axes={"prune.select": ["concept", "random"]}, seeds=6)
        with h5py.File(self.path, "r+") as f:
            s, layer = f["neurons/tiny/saliency"], f["neurons/tiny/layer"][()]
            last, depth = layer == layer.max(), layer / layer.max()
            noise = 0.01 * np.arange(len(s))[:, None]
            for stage, weight in enumerate((depth, 1 - depth, 1 - 0.5 * depth, 1 - 0.5 * depth)):  # to the front at the pruning, then some way back
                s[:, stage] = weight + noise
            self.assertTrue(last.any())
        make_store.stats(self.path)
        page = self.report()
        self.has(self.section(page, "q5"), "so it is the removal that moves it to earlier layers, not the relearning")
        self.has(page, "the removal’s, not the relearning’s (6 seeds)")

    def test_seeds_agree_more_than_chance_only_where_stats_says_so(self):
        make_store.write(self.path, axes={"prune.select": ["concept", "random"]}, seeds=6)
        make_store.stats(self.path)
        section = self.section(self.report(), "q9")
        self.has(section, "(95 % interval 0.111 to 0.222, 15 pairs of seeds)")
        self.has(section, "(95 % interval +0.012 to +0.035), more than chance")
        with h5py.File(self.path, "r+") as f:
            f["stats/agreement/tiny/jaccard_excess_low"][...] = -0.01
        self.has(self.section(self.report(), "q9"), "no different from chance")

    def test_a_first_place_is_held_against_the_second(self):
        page = self.report(axes={"prune.ratio": [0.1, 0.12, 0.9]}, seeds=6)
        rows = rows_of(self.folder, "runs")
        by_ratio = {x: np.array([float(r["recovered"]) for r in rows if float(r["prune.ratio"]) == x]) for x in (0.1, 0.12, 0.9)}
        d = by_ratio[0.12] - by_ratio[0.9]
        self.has(self.section(page, "q10"), f"After the next, <em>prune.ratio 0.12</em>, {d.mean():+.3f} (95 % interval")
        self.lacks(self.section(page, "q10"), "does not tell them apart")
        make_store.write(self.path, axes={"prune.ratio": [0.1, 0.2]}, seeds=6)
        with h5py.File(self.path, "r+") as f:
            base, pruned = f["runs/f1_base"][()], f["runs/f1_pruned"][()]
            f["training/f1"][:, 3, 1] = pruned + (base - pruned) * np.r_[0.8, 0.82, 0.79, 0.8, 0.81, 0.8, 0.8 + 0.01 * np.array([1, 1, -1, -1, 1, -2])]
        page = self.report()
        self.has(self.section(page, "q10"), "which does not tell them apart")

    def test_every_figure_has_its_data_beside_it(self):
        page = self.report(axes={"prune.select": ["concept", "random"], "rank.method": ["probeless", "gradient"]}, seeds=6, readings=True, curve=True)
        for figure in re.findall(r"<figure id=.*?</figure>", page, re.S):
            self.assertRegex(figure, r'download="[a-z0-9_]+\.csv"', figure[:60])

    def test_an_epoch_that_is_missing_moves_no_other(self):
        make_store.write(self.path, seeds=3)
        with h5py.File(self.path, "r+") as f:
            f["training/f1"][0, 2, 0] = np.nan
        self.report()
        rows = rows_of(self.folder, "recovery_runs")
        first = [r for r in rows if r["run"] == rows[0]["run"]]
        self.assertEqual([r["epoch"] for r in first], ["0", "0", "1", "2", "3", "4"])
        self.assertEqual([r["f1"] == "" for r in first], [False, False, True, False, False, False])
        run = rows_of(self.folder, "runs")[0]
        self.assertEqual((run["half_life"], run["area"]), ("", ""))
        self.assertNotEqual(run["recovered"], "")

    def test_stale_stats_are_left_aside(self):
        make_store.write(self.path, seeds=6)
        make_store.stats(self.path, gathered="2025-12-31T00:00:00Z")
        page = self.report()
        self.has(page, "computed from an older gathering")
        self.lacks(page, "0.123 to 0.987")

    # -------------------------------------------------------------------------------- bad input

    def test_refusals(self):
        self.refused("results.h5: there is no such file")
        with open(self.path, "w") as file:
            file.write("not HDF5")
        self.refused("is not an HDF5 file")
        with h5py.File(self.path, "w") as f:
            f["x"] = 1
        self.refused("not a store of relearn")
        make_store.write(self.path, seeds=2)
        size = os.path.getsize(self.path)
        with open(self.path, "r+b") as file:
            file.truncate(size // 2)
        self.refused("unfinished or damaged")
        make_store.write(self.path, seeds=2, failed=[0, 1])
        self.refused("none of its 2 runs is done")
        make_store.write(self.path, seeds=2)
        self.refused("has no axis 'ratio'", "--by", "ratio")
        with h5py.File(self.path, "r+") as f:
            del f["training"]
        self.refused("/training is missing")

    def test_a_folder_that_cannot_be_written_is_one_line(self):
        make_store.write(self.path, seeds=1)
        with open(os.path.join(self.folder, "report"), "w"):
            pass
        code, _, err = run("report", self.folder)
        self.assertEqual((code, err.count("\n")), (2, 1), err)


class Paper(Case):
    """The golden of protocol §12, which the authors' own functions gave: two synthetic rankings of 7 x 768 neurons, T as stated."""

    def setUp(self):
        rank = np.arange(5376)
        self.layer, self.null = np.repeat(np.arange(7), 768), rank % 5 == 0
        self.base, self.stage = np.empty(5376, int), np.empty(5376, int)
        self.base[(4391 * rank + 7) % 5376], self.stage[(1231 * rank + 3) % 5376] = rank, rank

    def saliency(self, rank, T):
        m = T / 100
        return np.where(self.null, math.nan, np.abs((rank // 100 + 1 - m) / (1 - m)))

    def test_redistribution(self):
        base = self.saliency(self.base, 4608)
        self.assertEqual([round(v, 3) for v in paper.redistribution(base, self.layer, 7)], [14.185, 14.293, 14.348, 14.239, 14.293, 14.293, 14.348])
        coded = paper.filter_ablated(self.base, self.stage, self.null)
        self.assertEqual(np.bincount(self.layer[coded > 0.5]).tolist(), [147, 149, 148, 148, 150, 147, 150])
        self.assertEqual([round(v, 3) for v in paper.redistribution(coded, self.layer, 7)], [14.148, 14.341, 14.244, 14.244, 14.437, 14.148, 14.437])

    def test_means_and_errors(self):
        base, stage = self.saliency(self.base, 5376), self.saliency(self.stage, 5376)
        id = np.arange(5376)
        similarity = np.where(id % 11 == 0, math.nan, (37 * id % 101) / 100)
        for values, layer, mean, error in (
            (np.nan_to_num(base), 0, 0.398756, 0.0233292), (np.nan_to_num(base), 6, 0.398990, 0.0234044), (stage, 0, 0.500591, 0.0233129),
            (stage, 6, 0.502584, 0.0232568), (similarity, 0, 0.501619, 0.0216036), (similarity, 6, 0.498209, 0.0217015),
        ):
            self.assertAlmostEqual(measures.by_layer(values[None], self.layer, 7)[0, layer], mean, delta=6e-7)
            self.assertAlmostEqual(paper.errors(values[None], self.layer, 7)[0, layer], error, delta=6e-8)

    def test_unchanged_words_have_no_similarity(self):
        words = np.array([[[1, 2, -1], [3, 4, 5]], [[2, 1, -1], [3, 4, 6]]])
        self.assertEqual(paper.changed(words, None).tolist(), [[False, False], [False, True]])

    def test_similarity_by_saliency(self):
        table = paper.by_saliency(np.array([0.0, 0.19, 0.2, 1.0]), np.array([0.1, 0.3, 0.5, 0.7]))
        self.assertEqual(table[:, 0].tolist(), [2, 1, 0, 0, 1])
        np.testing.assert_allclose(table[:, 1], [0.2, 0.5, math.nan, math.nan, 0.7])

    def test_it_prints_every_arm(self):
        with tempfile.TemporaryDirectory() as folder:
            make_store.write(os.path.join(folder, "results.h5"), axes={"prune.select": ["concept", "random"]}, seeds=2)
            code, out, err = run("paper", folder)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("tiny, concept: mean over 2 seeds", out)
        self.assertIn("tiny, random: mean over 2 seeds", out)
        shares = np.array([l.split() for l in out.split("Neurons with saliency")[1].split("\n")[2:6]], float)
        np.testing.assert_allclose(shares[:, 1:].sum(axis=0), 100, atol=0.01)
        for title in ("Mean saliency", "Mean similarity to base", "Similarity by saliency, round 2"):
            self.assertIn(title, out)


if __name__ == "__main__":
    unittest.main()
