"""The sweeps that come along: planned as they are, run on a few sentences, and their bad names refused with the good ones."""
import json
import pathlib

from cli_support import options, refused, relearn, run_tests, shards, world

sweeps = pathlib.Path(__file__).resolve().parents[2] / "sweeps"
small = ["--set", "data.limit=24", "--set", "retrain.evaluate_every=2", "--set", "analyse.cka_words=40"]


def plan(name, *more):
    return json.loads(relearn("plan", str(sweeps / name), "--json", *more).stdout)


def test_the_examples_plan():
    assert plan("families.yaml")["num_runs"] == 10
    assert plan("finders.yaml")["num_runs"] == 16
    sites = plan("sites.yaml")
    assert sites["num_runs"] == 16 and sites["num_stages"] < sites["num_stages_unshared"], sites


def test_every_finder_on_three_ranks():
    finders = "[probeless,linear_probe,average_precision,iou,gaussian,mean_select,ablation,random]"
    relearn("run", "sweep.yaml", "--out", "finders", "--set", f"rank.method={finders}", "--set", "seed=0",
            "--filter", "prune.select==concept", ranks=3)
    assert len(shards("finders")) == 8
    relearn("run", str(sweeps / "finders.yaml"), "--out", "finders-example", *small,
            "--filter", "prune.permanent==true && rank.method==gaussian")
    assert len(shards("finders-example")) == 1


def test_the_probes_penalties_are_axes():
    probe = ["sweep.yaml", "--set", "rank.method=linear_probe", "--set", "prune.select=concept", "--set", "seed=0", "--set", "retrain.rounds=0"]
    both = [*probe, "--set", "rank.lambda1=[0.001,0.02]"]
    assert json.loads(relearn("plan", *both, "--json").stdout)["num_runs"] == 2
    relearn("run", *both, "--out", "penalties")
    relearn("run", *probe, "--out", "no-penalty")
    common = shards("penalties").keys() & shards("no-penalty").keys()
    assert len(shards("penalties")) == 2 and len(common) == 1, common  # 0.001 is what is meant where nothing is said
    refused("plan", *probe, "--set", "rank.lambda2=0", says="rank.lambda2: '0' is not a number from 1e-09 to 1000")
    relearn("run", *probe, "--set", "rank.lambda1=1000", "--out", "all-zero", code=1)
    state = json.loads(relearn("status", "all-zero", "--json").stdout)
    assert "every weight is 0" in state["runs"][0]["error"] and "rank.lambda1 is too large" in state["runs"][0]["error"], state


def test_a_finder_that_cannot_work_fails_alone():
    relearn("run", str(sweeps / "finders.yaml"), "--out", "no-f1", *small, "--set", "rank.method=[ablation,probeless]",
            "--set", "retrain.rounds=0", "--filter", "prune.permanent==false", code=1)
    state = json.loads(relearn("status", "no-f1", "--json").stdout)
    assert state["done"] == 1 and state["failed"] == 1, state
    assert any("the concept's F1 is 0 before anything is zeroed" in (run["error"] or "") for run in state["runs"]), state


def test_every_site_on_three_ranks_and_alone():
    sites = ["sweep.yaml", "--set", "prune.site=[layer_norm,hidden,ffn,head]", "--set", "prune.permanent=[false,true]",
             "--filter", "prune.select==concept && seed==0"]
    relearn("run", *sites, "--out", "sites", ranks=3)
    relearn("run", *sites, "--out", "sites-alone")
    assert len(shards("sites")) == 8 and shards("sites") == shards("sites-alone")
    relearn("run", str(sweeps / "sites.yaml"), "--out", "sites-example", *small, "--set", "analyse.also=none",
            "--filter", "prune.select==random_matched && prune.permanent==true && prune.site==head")
    run = sorted(shards("sites-example"))[0].removesuffix(".h5")
    assert "units pruned" in relearn("show", "sites-example", run).stdout


def test_the_arms_that_control():
    arms = ["sweep.yaml", "--set", "concept=people", "--set", "arm=[relearn,never_learned]", "--set", "prune.site=hidden",
            "--set", "prune.select=[concept,none,least_matched]", "--set", "analyse.causal=true", "--set", "seed=0",
            "--set", "analyse.also=all"]
    text = (world / "sweep.yaml").read_text()
    (world / "arms.yaml").write_text(text.replace("concepts:\n", "concepts:\n  people: {ner: ORG}\n"))
    arms[0] = "arms.yaml"
    assert json.loads(relearn("plan", *arms, "--json").stdout)["num_runs"] == 4  # never_learned prunes nothing: one run
    relearn("run", *arms, "--out", "arms", ranks=2)
    assert len(shards("arms")) == 4


def test_five_architectures_on_three_ranks():
    relearn("run", str(sweeps / "families.yaml"), "--out", "families", *small, ranks=3)
    assert len(shards("families")) == 10
    assert (world / "families/results.h5").exists()
    shown = relearn("show", "families").stdout
    assert all(name in shown for name in ("small-bert", "small-distilbert", "small-electra", "small-roberta", "small-gpt2")), shown


def test_the_paper_is_planned_from_config_json_alone():
    data = world / "paper-data"
    data.mkdir()
    for name, source in {"eng.train": "train.conll", "eng.testa": "validation.conll", "eng.testb": "test.conll",
                         "location_tokens.txt": "tokens.txt", "location_labels.txt": "labels.txt"}.items():
        (data / name).write_text((world / source).read_text())
    text = (sweeps / "paper.yaml").read_text().replace("data/", "paper-data/").replace("[paper/", f"[{sweeps}/paper/")
    (world / "paper.yaml").write_text(text.replace(", paper/", f", {sweeps}/paper/"))
    out = json.loads(relearn("plan", "paper.yaml", "--json").stdout)
    assert out["num_runs"] == 120 and out["core_seconds"] > 0, out
    assert all(run["error"] is None and "distil" in run["lacks"] or "gpt2" in run["lacks"] for run in out["runs"]), out
    assert "these runs fail until it is there" in relearn("plan", "paper.yaml").stdout
    refused("run", "paper.yaml", "--out", "paper", says="download the model there first")
    assert not (world / "paper").exists()


def test_concepts_from_words_and_patterns():
    (world / "listed.txt").write_text("oslo\nlima\n\nkyoto today\n")
    (world / "text.txt").write_text("anna saw oslo today\nboris left lima\nkyoto today again\n")
    text = (world / "sweep.yaml").read_text()
    concepts = ("concepts:\n  listed: {words: listed.txt, in: text.txt}\n  inline: {words: [oslo, dakar], type: LOC}\n"
                "  rhyme: {pattern: 'o$'}\n  person: {ner: [PER]}\n")
    start, end = text.index("concepts:"), text.index("grid:")
    (world / "sources.yaml").write_text(text[:start] + concepts + text[end:].replace("[location]", "[listed, inline, rhyme, person]"))
    one = ["--set", "seed=0", "--set", "prune.select=concept", "--set", "train.epochs=1", "--set", "retrain.rounds=1"]
    relearn("run", "sources.yaml", "--out", "sources", *one)
    assert len(shards("sources")) == 4
    relearn("run", "sources/sweep.yaml", "--out", "sources-again", *one)
    assert shards("sources-again") == shards("sources")


def test_word_vectors_of_a_file_are_an_axis():
    words = sorted({word.lower() for word in (world / "tokens.txt").read_text().split()})
    lines = [f"{word} {len(word)} {ord(word[0]) % 7} {i % 5 - 2}\n" for i, word in enumerate(words)]
    (world / "w.vec").write_text(f"{len(words)} 3\n" + "".join(lines))
    chosen = "prune.select==concept && seed==0"
    axis = ["sweep.yaml", "--set", "analyse.similarity.vectors=[model,w.vec]", "--filter"]
    both = [*axis, chosen]
    assert json.loads(relearn("plan", *both, "--json").stdout)["num_runs"] == 2
    one = [*axis, chosen + " && analyse.similarity.vectors==w.vec", "--json"]
    assert json.loads(relearn("plan", *one).stdout)["num_runs"] == 1
    relearn("run", *both, "--out", "vectors", ranks=2)
    assert len(shards("vectors")) == 2
    told = [relearn("show", "vectors", name.removesuffix(".h5")).stdout for name in shards("vectors")]
    assert sum("word vectors of 100.0 % of the words" in text for text in told) == 1, told
    (world / "w.vec").write_text(f"{len(words)} 3\n" + "".join(lines[:3]) + f"{words[3]} 1 nan 2\n" + "".join(lines[4:]))
    line = refused("run", *both, "--out", "nan", says=f"w.vec:5:{len(words[3]) + 4}: 'nan' is no finite number")
    assert not list((world / "nan").glob("stages/*")), line
    (world / "w.vec").write_text("1 3\nqqqq 1 2 3\n")
    refused("run", *both, "--out", "nan", says="w.vec: it has a vector for none of the")


def sweep_with(concept):
    text = (world / "sweep.yaml").read_text()
    start, end = text.index("concepts:"), text.index("grid:")
    (world / "bad.yaml").write_text(text[:start] + f"concepts:\n  location: {concept}\n" + text[end:])
    return "bad.yaml"


def test_a_broken_concept_that_no_run_uses_is_a_warning():
    text = (world / "sweep.yaml").read_text()
    (world / "torn.txt").write_text("N/A N/A\n" * 60)
    for entry, says in {"{tokens: tokens.txt, labels: torn.txt, positive: a}": "torn.txt:1:", "{ner: LOK}": "did you mean 'LOC'?"}.items():
        (world / "unused.yaml").write_text(text.replace("concepts:\n", f"concepts:\n  spare: {entry}\n"))
        told = relearn("plan", "unused.yaml").stdout
        assert "warning        concept spare, which no run uses: " in told and says in told, told
        out = json.loads(relearn("plan", "unused.yaml", "--json").stdout)
        assert says in out["warning"] and all(run["error"] is None for run in out["runs"]), out
        refused("plan", "unused.yaml", "--set", "analyse.also=all", says=says)
        refused("plan", "unused.yaml", "--set", "concept=[location,spare]", says=says)
    assert "warning" not in json.loads(relearn("plan", "sweep.yaml", "--json").stdout)


def test_bad_names_get_the_good_ones():
    bad = {"rank.method=probless": "probeless, linear_probe, average_precision, iou, gaussian, mean_select, ablation, random",
           "prune.site=hiden": "layer_norm, hidden, ffn, head; did you mean 'hidden'?",
           "prune.select=matched": "random_matched, least_matched",
           "prune.layers=4..2": "hidden states from 0 to 63",
           "prune.layers=9": "it has 0 to 2",
           "arm=fresh": "relearn, never_learned",
           "analyse.also=locaton": "is not a name under concepts: (location)",
           "analyse.similarity.vectors=x.bin": "x.bin: cannot be read: No such file or directory; model, or a fastText"}
    for assignment, says in bad.items():
        refused("run", "sweep.yaml", "--out", "bad", "--set", assignment, says=says)
    refused("run", "sweep.yaml", "--out", "bad", "--set", "prune.layers=0", "--set", "prune.site=[ffn,head]", says="some of 1 to 2")
    refused("plan", str(sweeps / "families.yaml"), "--set", "prune.layers=9", says="it has 0 to 2")  # not: lacks its weights
    for concept, says in {"{ner: LOK}": "its types are PER, ORG, LOC; did you mean 'LOC'?",
                          "{pattern: '(o'}": "bad.yaml:4:23: pattern: '(o' is no regular expression",
                          "{pattern: xyz}": "no word is of concept location",
                          "{words: [], type: LOC}": "words: the list is empty",
                          "{wrods: [oslo]}": "'wrods' is no key of this concept",
                          "{ner: LOC, tokens: tokens.txt}": "one of tokens, ner, words and pattern",
                          "{tokens: tokens.txt, labels: labels.txt, positive: a, type: LOK}": "SEM:named_entity:location"}.items():
        refused("run", sweep_with(concept), "--out", "bad", says=says)
    twice = refused("run", sweep_with("{ner: LOC, type: LOC}"), "--out", "bad", says="'type' is no key of this concept")
    assert twice.endswith("expected ner and in"), twice  # not: did you mean 'type'?


run_tests(globals())
