"""The ten questions of the paper, answered from the store: the report's spine. No text here claims more than its numbers."""

from __future__ import annotations

import dataclasses
import math
from html import escape

from . import fig_agreement, fig_layers, fig_meaning, fig_readings, fig_recovery
from .measures import bca, mean_of
from .sweepdata import median_with_censored, smallest_p
from .words import count, estimate, interval_name, real, signed, verdict_of, verdict_on

PAPER = {  # what the paper reports or concludes, as docs/results.md and protocol §8 give it
    "recovered": "The paper's run recovered 98 % of the lost F1 after its first two epochs and 99 % after eight "
    "(DistilBERT, location).",
    "after two epochs": 0.976,  # (0.9138 - 0.0277) / (0.9355 - 0.0277), protocol §8
}


@dataclasses.dataclass
class Answer:
    number: int
    question: str
    short: str  # a few words or a number, for the summary card; "" for none
    text: str  # HTML
    figures: list
    against_paper: str = ""  # "", "agrees", "weaker", "contradicts", "undecided"
    card: str = ""  # the question on the summary card


def paper_word(answer):
    words = {"agrees": "as in the paper", "weaker": "less than in the paper", "contradicts": "unlike the paper", "undecided": "undecided"}
    return words.get(answer.against_paper, "")


def missing(axis, example):
    return f"Not in this sweep: add <code>{axis}: {example}</code> to the grid."


def sure_sign(interval):
    """+1 or -1 when the interval excludes 0; with no interval 0, however alike the seeds look."""
    if interval and (interval[0] > 0 or interval[1] < 0):
        return 1 if interval[0] > 0 else -1
    return 0


def enough(n):
    """Whether n seeds could decide anything: an interval inside the range of n values covers at most 1 - 2^(1-n), so fewer than 6 cannot reach 95 %."""
    return smallest_p(n) <= 0.05


def against(sign, wanted, mean):
    """agrees / contradicts only where the interval excludes 0; otherwise undecided."""
    if sign == 0 or not math.isfinite(mean):
        return "undecided"
    return "agrees" if sign == wanted else "contradicts"


# ------------------------------------------------------------------------------------------------ the answers


def finders(data):
    figure = fig_agreement.finders(data)
    text = figure.sentence if figure else missing("rank.method", "[probeless, linear_probe, mean_select]")
    if figure is None:
        methods = sorted({str(a.value("rank.method")) for a in data.arms if a.value("rank.method") is not None})
        text += f" All runs here rank with {methods[0] if methods else method_from(data)}."
    return Answer(
        1,
        "Do probeless, linear probes and other finders name the same neurons?",
        "",
        text,
        [f for f in (figure, fig_readings.within_run(data)) if f],
    )


def method_from(data):
    for line in data.store.sweep_yaml().split("\n"):
        if line.strip().startswith("method:"):
            return line.split(":", 1)[1].strip()
    return "the default method"


def plasticity(data):
    back, areas, shift = data.recovered(data.head), data.areas(data.head), fig_layers.shift(data, data.head)
    text = (
        f"Here neuroplasticity is four measured quantities; in {data.describe(data.head)}: the recovered share of the "
        f"lost F1, {estimate(back, fig_recovery.rho_interval(data, data.head))}; its "
        f"half-life, {fig_recovery.half_life_words(data, data.head)}; the area under the recovery curve, "
        f"{estimate(areas, data.stats.interval('recovery', 'area', fig_recovery.any_run(data, data.head)))}; and the "
        "shift of the centre of saliency, "
        f"{estimate(shift, form=signed)} layers."
    )
    mean = mean_of(back)
    interval = fig_recovery.rho_interval(data, data.head)
    verdict = (
        "undecided"
        if not math.isfinite(mean) or not interval or not enough(data.head.n)
        else "agrees"
        if interval[0] > 0.5
        else "contradicts"
        if interval[1] < 0.5
        else "undecided"
    )
    text += (
        " "
        + PAPER["recovered"]
        + {
            "agrees": " As there, more than half came back.",
            "contradicts": " Here, unlike there, less than half came back.",
            "undecided": " This sweep neither supports nor contradicts it: "
            f"{undecided_because(interval, data.head.n)}.",
        }[verdict]
    )
    compared, word = beside_two_epochs(data)
    text += compared
    if verdict == "agrees" and word == "less than":
        verdict = "weaker"
    itself = fig_recovery.concept_itself(data)
    types, others = fig_readings.entity_types(data), fig_readings.other_concepts(data)
    figures = [fig_recovery.recovery(data)] + [f for f in (itself, types, others) if f]
    if itself is None:
        note = (
            str(data.store.runs["concept_f1_note"][data.head.rows[0]])
            if "concept_f1_note" in data.store.runs
            else "gathered before relearn kept it"
        )
        text += f" F1 is that of all entity types; the concept's own is not in this store ({escape(note)})."
    return Answer(
        2,
        "What is neuroplasticity here, in measured quantities?",
        percent(mean),
        text,
        figures,
        verdict,
        "Does it come back?",
    )


def beside_two_epochs(data):
    """(sentence, word): the recovered share after two epochs against the paper's, where an interval can tell; more than half is not yet as much."""
    interval = data.stats.interval("recovery", "rho_epoch", fig_recovery.any_run(data, data.head), 2)
    if not interval or not enough(data.head.n):
        return "", ""
    curves = [data.recoveries[int(r)].recovered() for r in data.head.rows]
    values = estimate([c[2] if len(c) > 2 else math.nan for c in curves], interval)
    theirs = PAPER["after two epochs"]
    word = "less than" if interval[1] < theirs else "more than" if interval[0] > theirs else "no different from"
    return f" After two epochs it is {values} here, {word} the paper's {percent(theirs)}.", word


def undecided_because(interval, n):
    if not enough(n):
        return f"{count(n, 'seed')} {'decides' if n == 1 else 'decide'} nothing (6 are the fewest)"
    return (
        "its interval lies on both sides of one half"
        if interval
        else "it has no interval yet (<code>relearn stats</code>)"
    )


def percent(x):
    return f"{100 * x:.0f} %" if math.isfinite(x) else "no value"


def saliency_similarity(data):
    figures = [
        fig_layers.saliency_map(data),
        fig_layers.ridges(data),
        fig_meaning.similarity(data),
        fig_meaning.similarity_map(data),
    ]
    check = fig_readings.causal(data)
    figures += [check] if check else []
    return Answer(
        3,
        "What do saliency and similarity each tell?",
        "",
        "Saliency says how early a neuron comes in the ranking for the concept; similarity how much its top words "
        "resemble those it had in base. " + figures[2].sentence,
        figures,
    )


def few_epochs(data):
    first, final = fig_recovery.first_epoch(data, data.head), data.recovered(data.head)
    share = mean_of(first) / mean_of(final) if math.isfinite(mean_of(final)) and mean_of(final) != 0 else math.nan
    median = median_with_censored(data.half_lives(data.head))
    short = (
        "1 epoch"
        if median == 1
        else f"{median:g} epochs"
        if math.isfinite(median)
        else "not reached"
        if math.isinf(median)
        else "undefined"
    )
    text = (
        f"The first epoch of retraining brings {percent(mean_of(first))} of the lost F1, {percent(share)} of all that "
        "comes back. "
        if math.isfinite(share)
        else "No recovered share is defined. "
    )
    factors = fig_recovery.factors(data)
    text += factors.sentence if factors else "What makes it fast or slow shows where removals differ: question 10."
    return Answer(
        4,
        "Why does recovery take so few epochs?",
        short,
        text,
        [f for f in (fig_recovery.speed(data), fig_recovery.by_step(data), fig_readings.cka(data), factors) if f],
        card="How fast? (half of it)",
    )


def earlier(data):
    shift = fig_layers.shift(data, data.head)
    interval, source = relocation_test(data)
    mean = mean_of(shift)
    verdict = against(sure_sign(interval), -1, mean)
    text = f"The centre of saliency {fig_layers.direction(mean)} from base to the last stage"
    if data.control is not None:
        text += f"; with as many random neurons removed it {fig_layers.direction(mean_of(fig_layers.shift(data, data.control)))}"
    text += ". The paper concludes that concepts relocate to earlier layers. "
    text += {
        "agrees": f"So does this sweep: {source}.",
        "contradicts": f"This sweep contradicts it: {source}.",
        "undecided": f"This sweep does not decide it: {source}.",
    }[verdict]
    text += retraining_alone(data)
    return Answer(
        5,
        "Do concepts move to earlier layers?",
        f"{signed(mean, 2)} layers" if math.isfinite(mean) else "no value",
        text,
        [f for f in (fig_layers.centre(data), fig_layers.relocation(data), fig_readings.entropy(data)) if f],
        verdict,
        "Do they move to earlier layers?",
    )


def retraining_alone(data):
    """The paper compares base with retrained models only; the pruned model in between tells what the removal did and what the relearning."""
    since = fig_layers.shift_since_pruning(data, data.head)
    if not math.isfinite(mean_of(since)):
        return ""
    text = f" During retraining alone, from the pruned model on, the centre {fig_layers.direction(mean_of(since))}: {estimate(since, form=signed)} layers"
    return text + ("; so it is the removal that moves it to earlier layers, not the relearning." if by_removal_alone(data) else ".")


def by_removal_alone(data):
    """Whether the concept ends in earlier layers although retraining moves it to later ones."""
    interval = bca(fig_layers.shift_since_pruning(data, data.head))
    return bool(interval and interval[0] > 0 and mean_of(fig_layers.shift(data, data.head)) < 0)


def relocation_test(data):
    """The claim rests on concept minus random, paired by seed (silencing alone moves the centre); (interval if claimed, the reason in words)."""
    if data.control is None:
        return None, "without a random control the shift cannot be told from what silencing neurons does by itself"
    stage = data.arm_stages(data.head)[-1]
    row = data.stats.compare(
        data.store.runs["id"][data.head.rows[0]], data.store.runs["id"][data.control.rows[0]], "centre", stage=stage
    )
    pairs = len(set(data.seeds(data.head)) & set(data.seeds(data.control)))
    if row is None:
        return None, f"{no_interval(data, 'comparison of it')}, and {verdict_on(pairs)}"
    words = f"concept minus random {signed(row['difference'])} layers ({interval_name(row['n'])} {signed(row['low'])} to {signed(row['high'])}, adjusted p = {real(row['p_adjusted'])}): {verdict_of(row)}"
    return ((row["low"], row["high"]) if row["claimed"] else None), words


def primed(data):
    figure = fig_meaning.primed(data)
    found = fig_meaning.regression_of(data)
    mean = mean_of(data.per_run(data.head, lambda s: s.spearman_base))
    short = f"ρ = {signed(mean, 2)}" if math.isfinite(mean) else "no value"
    signs = primed_signs(found)
    verdict = {frozenset([1]): "agrees", frozenset([-1]): "contradicts"}.get(frozenset(signs.values()), "undecided")
    text = (
        f"Among kept neurons, saliency before pruning and after relearning have a rank correlation of {signed(mean)}. "
        if math.isfinite(mean)
        else ""
    )
    text += "The paper concludes that the concept goes to neurons that were primed for it. "
    text += {
        "agrees": "This sweep agrees.",
        "contradicts": "This sweep contradicts it.",
        "undecided": f"This sweep does not decide it: {primed_undecided(data, found, signs)}.",
    }[verdict]
    return Answer(6, "Are the relearning neurons primed?", short, text, [f for f in (figure, fig_readings.primedness(data)) if f], verdict, "Are they primed neurons?")


PRIMED_BY = {"base_saliency": "saliency before pruning", "concept_similarity": "similarity to the concept before pruning"}


def primed_signs(found):
    """{measure of having been primed: sign of its partial effect, 0 where the interval includes 0}; none without an interval over enough seeds."""
    if not found or not enough(found[1].get("num_clusters", 0)):
        return {}
    terms = {name: found[0][name] for name in PRIMED_BY if name in found[0] and math.isfinite(found[0][name]["low"])}
    return {name: sure_sign((t["low"], t["high"])) for name, t in terms.items()}


def no_interval(data, what):
    return f"/stats holds no {what}" if data.stats.present else "there is no interval yet (<code>relearn stats</code>)"


def primed_undecided(data, found, signs):
    n = data.head.n
    if not enough(n):
        return f"{count(n, 'seed')} {'decides' if n == 1 else 'decide'} nothing (6 are the fewest)"
    if not signs:
        return "the partial effects have no interval" if found else no_interval(data, "regression")
    words = {1: "goes with more saliency after relearning", -1: "goes with less", 0: "with neither more nor less (its interval includes 0)"}
    return ", but ".join(f"{PRIMED_BY[name]} {words[sign]}" for name, sign in signs.items())


def polysemantic(data):
    figure = fig_meaning.polysemantic(data)
    if figure is None:
        return Answer(
            7,
            "Do neurons become polysemantic?",
            "no words",
            "This store holds no top words; set <code>analyse.top_words</code>.",
            [],
            "",
            "Do neurons become polysemantic?",
        )
    rows = figure.tables[0].rows
    head = [r[4] / r[2] for r in rows if r[0] == data.head.label]
    control = [r[4] / r[2] for r in rows if data.control is not None and r[0] == data.control.label]
    text = f"{percent(mean_of(head))} of the kept neurons that could took up a lost word and kept one of their own"
    text += f", {percent(mean_of(control))} in the random control. " if control else ". "
    text += "The paper concludes that relearning neurons carry old and new concepts together. No test is made of this measure: it is described, not claimed."
    return Answer(
        7,
        "Do neurons become polysemantic?",
        percent(mean_of(head)),
        text,
        [f for f in (fig_readings.meanings(data), figure) if f],
        "undecided",
        "Do neurons become polysemantic?",
    )


def families(data):
    figure = fig_agreement.families(data)
    text = (
        figure.sentence
        if figure
        else missing("model", "[models/a, models/b]") + f" All runs here are of {data.head.value('model')}."
    )
    return Answer(8, "Does it hold over model families?", "", text, [figure] if figure else [])


def limitations(data):
    axes = (
        ("rank.method", "[probeless, linear_probe, random]", "other finders"),
        ("prune.site", "[layer_norm, hidden, ffn, head]", "other sites of removal"),
        ("prune.permanent", "[false, true]", "permanent removal"),
        ("concept", "[location, ...]", "other concepts"),
    )
    parts = []
    for axis, example, what in axes:
        if axis in data.varying:
            values = sorted({str(a.value(axis)) for a in data.arms})
            parts.append(f"{what.capitalize()}: {', '.join(values)} are compared ({axis_words(data, axis)}).")
        else:
            parts.append(f"{what.capitalize()}: {missing(axis, example)[0].lower()}{missing(axis, example)[1:]}")
    seeds = fig_agreement.seeds(data)
    text = " ".join(parts) + (
        ""
        if seeds
        else " Seeds: one per arm, so nothing here has an interval; add <code>seed: 0..5</code> or more (5 seeds "
        f"cannot give p below {smallest_p(5):g})."
    )
    return Answer(
        9,
        "What limits this: finders, sites, permanence, seeds?",
        "",
        text,
        [f for f in (seeds, fig_agreement.components(data)) if f],
    )


def matched_arms(data, axis):
    """The arms that have a counterpart which differs in `axis` alone, in all of the values that any of them has: an unbalanced grid would else
    compare the other axes too."""
    groups = {}
    for arm in data.arms:
        groups.setdefault(tuple((a, v) for a, v in arm.key if a != axis), []).append(arm)
    most = max(len(g) for g in groups.values())
    return [arm for g in groups.values() if len(g) == most > 1 for arm in g]


def axis_words(data, axis):
    groups = {}
    for arm in matched_arms(data, axis):
        groups.setdefault(str(arm.value(axis)), []).append(mean_of(data.recovered(arm)))
    if not groups:
        return "no two arms differ in it alone"
    return "recovered at the end: " + ", ".join(
        f"{k} {real(mean_of(v))} over {count(len(v), 'arm')}" for k, v in sorted(groups.items())
    )


def removal(data):
    figure = fig_recovery.resistance(data)
    known = [a for a in data.arms if math.isfinite(mean_of(data.recovered(a)))]
    best = min(known, key=lambda a: mean_of(data.recovered(a))) if known else None
    fair = [a for a in known if not fig_recovery.emptied_layers(data, a)] or known  # the card names no removal that stops all text
    card = min(fair, key=lambda a: mean_of(data.recovered(a))) if fair else None
    text = (
        f"Least of the lost F1 came back in the arm <em>{escape(best.label)}</em>: "
        f"{percent(mean_of(data.recovered(best)))} (most: "
        f"{percent(max(mean_of(data.recovered(a)) for a in known))})."
        if len(known) > 1
        else "With a single removal nothing can be ranked."
    )
    if len(known) > 1 and card is not best:
        text += fig_recovery.warning_of_emptied(data, best) + (
            f" Of the removals that leave every layer something, <em>{escape(card.label)}</em> holds longest: "
            f"{percent(mean_of(data.recovered(card)))}."
        )
    text += beside_the_next(data, card, fair)
    absent = [a for a in ("prune.permanent", "prune.ratio") if a not in data.varying]
    if absent:
        text += (
            " Not in this sweep: add "
            + " and ".join(f"<code>{a}</code>" for a in absent)
            + " to see whether they resist longer."
        )
    if not known:
        return Answer(
            10,
            "Which removal resists relearning longest?",
            "undefined",
            "Pruning cost no arm 0.01 F1, so no recovery is defined.",
            [figure],
            "",
            "What resists longest?",
        )
    return Answer(
        10,
        "Which removal resists relearning longest?",
        card.label if len(known) > 1 else "one removal only",
        text,
        [figure],
        "",
        "What resists longest?",
    )


def beside_the_next(data, first, arms):
    """How far the most resistant removal is from the one after it, seed by seed: a first place may be no more than chance."""
    others = sorted((a for a in arms if a is not first), key=lambda a: mean_of(data.recovered(a)))
    if first is None or not others:
        return ""
    d = data.paired(others[0], first, data.recovered)
    interval = bca(d)
    told = "" if interval and interval[0] > 0 else ", which does not tell them apart"
    return f" After the next, <em>{escape(others[0].label)}</em>, {estimate(d, form=signed)} more comes back{told}." if len(d) else ""


def all_answers(data):
    return [
        f(data)
        for f in (
            finders,
            plasticity,
            saliency_similarity,
            few_epochs,
            earlier,
            primed,
            polysemantic,
            families,
            limitations,
            removal,
        )
    ]
