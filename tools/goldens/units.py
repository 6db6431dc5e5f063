#!/usr/bin/env python3
"""Goldens of the finders inside the blocks: feed-forward units and attention heads of the small models of model.py, by hooks.

    python tools/goldens/units.py      needs torch, transformers, numpy, scipy, scikit-learn; run tools/goldens/model.py first

Writes tests/golden/concept/units.json: sentences as ids and words, and for each family, site and finder the scores in double.
The activations are what transformers' own modules hand on: behind the intermediate activation function, and into the
projection of the attention's output. Formulas are those of finders.py.
"""
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForTokenClassification

from finders import average_precision, gaussian, iou, mean_select

ROOT = Path(__file__).resolve().parents[2] / "tests" / "golden"
FAMILIES = ["bert_f32", "distilbert_f32", "roberta_f32", "electra_f32", "gpt2_f32"]
LAMBDA = 1e-3  # rl_probe_defaults


def sentences(vocabulary):
    """Ids, and the word of each (-1: none): the first and last belong to no word, every third word has two pieces."""
    random = np.random.default_rng(5)
    ids, word, next_word = [], [], 0
    for _ in range(15):
        row, words = [int(random.integers(3, vocabulary))], [-1]
        for w in range(int(random.integers(3, 6))):
            pieces = 2 if w % 3 == 1 else 1
            row += [int(i) for i in random.integers(3, vocabulary, pieces)]
            words += [next_word] * pieces
            next_word += 1
        ids.append(row + [int(random.integers(3, vocabulary))])
        word.append(words + [-1])
    return ids, word, next_word


def parts(model, family):
    """Of each block: the module behind which feed-forward units are, and the one that reads the heads."""
    if family == "gpt2":
        return [(b.mlp.act, b.attn.c_proj) for b in model.transformer.h]
    if family == "distilbert":
        return [(b.ffn.activation, b.attention.out_lin) for b in model.distilbert.transformer.layer]
    return [(b.intermediate.intermediate_act_fn, b.attention.output.dense) for b in getattr(model, family).encoder.layer]


class Behind(torch.nn.Module):
    """An activation function whose results are kept: functions and modules alike."""

    def __init__(self, function, kept):
        super().__init__()
        self.function, self.kept = function, kept

    def forward(self, x):
        y = self.function(x)
        self.kept.append(y.detach()[0])
        return y


def watch(model, family, site):
    kept = []
    blocks = model.transformer.h if family == "gpt2" else (model.distilbert.transformer.layer if family == "distilbert"
                                                           else getattr(model, family).encoder.layer)
    for block, (_, projection) in zip(blocks, parts(model, family)):
        mine = []
        kept.append(mine)
        if site == "head":
            projection.register_forward_pre_hook(lambda module, inputs, mine=mine: mine.append(inputs[0].detach()[0]))
        elif family == "gpt2":
            block.mlp.act = Behind(block.mlp.act, mine)
        elif family == "distilbert":
            block.ffn.activation = Behind(block.ffn.activation, mine)
        else:
            block.intermediate.intermediate_act_fn = Behind(block.intermediate.intermediate_act_fn, mine)
    return kept


def activations(folder, family, site, ids, word, num_words):
    """[L, W, width]: float32 means over sub-words, as NeuroX aggregates."""
    model = AutoModelForTokenClassification.from_pretrained(ROOT / "model" / folder, attn_implementation="eager").eval().float()
    kept = watch(model, family, site)
    with torch.no_grad():
        for row in ids:
            model(torch.tensor([row]))
    out = []
    for layer in kept:
        tokens = torch.cat(layer).numpy()
        flat = np.array([w for words in word for w in words])
        assert len(tokens) == len(flat)
        out.append(np.stack([tokens[flat == w].mean(0, dtype=np.float32) for w in range(num_words)]))
    return np.stack(out), model.config.num_attention_heads


def probeless(x, y):
    x = x.astype(np.float64)
    return abs(x[y].mean() - x[~y].mean())


def steady(finder, most=1e-12):
    """NaN where float32 rounding of the activations could turn the score: it would test nothing but that."""
    def score(x, y):
        shaken = [finder(x + np.float32(1e-6) * sign, y) for sign in
                  (np.resize([1, -1], len(x)), np.resize([1, 1, -1], len(x)), np.where(y, 1, -1), np.where(y, -1, 1))]
        found = finder(x, y)
        return found if np.ptp([found, *shaken]) <= most else np.nan
    return score


def probe_scores(X, y, sentence):
    weights = []
    for layer in X:
        train = sentence % 5 != 4
        z = layer.astype(np.float64)
        sd = z[train].std(0)
        constant = sd <= 1e-6 * abs(z[train].mean(0))
        z = (z - z[train].mean(0)) / np.where(constant, 1, sd)
        z[:, constant] = 0
        model = LogisticRegression(penalty="elasticnet", solver="saga", C=1 / (train.sum() * 2 * LAMBDA), l1_ratio=0.5,
                                   tol=1e-13, max_iter=1000000, random_state=0)
        weights.append(abs(model.fit(z[train], y[train]).coef_[0]))
    return np.stack([mass(w, layer, y) for w, layer in zip(weights, X)])


def mass(weight, layer, y):
    """rl_weight_mass; below 0, by effect size, where there is no weight."""
    score = np.array([weight[weight <= w].sum() for w in weight]) / weight.sum()
    effect = np.nan_to_num([mean_select(layer[:, c], y) for c in range(layer.shape[1])])
    return np.where(weight == 0, -1 / (1 + effect), score)


def main():
    golden = {"command": "python tools/goldens/units.py", "families": {}}
    for folder in FAMILIES:
        family = folder.split("_")[0]
        vocabulary = json.loads((ROOT / "model" / folder / "config.json").read_text())["vocab_size"]
        ids, word, num_words = sentences(vocabulary)
        sentence = np.array([s for s, words in enumerate(word) for w in sorted(set(words) - {-1})])
        y = np.array([(7 * w + 3) % 11 < 4 for w in range(num_words)])
        entry = {"ids": ids, "word": word, "concept": y.astype(int).tolist(), "sites": {}}
        for site in ("ffn", "head"):
            X, heads = activations(folder, family, site, ids, word, num_words)
            one = {"probeless": probeless, "average_precision": steady(average_precision), "iou": steady(iou),
                   "gaussian": steady(gaussian, 1e-4), "mean_select": mean_select}
            scores = {name: np.array([[f(layer[:, c], y) for c in range(layer.shape[1])] for layer in X]) for name, f in one.items()}
            scores["linear_probe"] = probe_scores(X, y, sentence)
            if site == "head":
                scores = {name: s.reshape(len(X), heads, -1).mean(2) for name, s in scores.items()}
            entry["sites"][site] = {name: [None if np.isnan(v) else float(f"{v:.12g}") for v in s.ravel()] for name, s in scores.items()}
        golden["families"][folder] = entry
    (ROOT / "concept" / "units.json").write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
