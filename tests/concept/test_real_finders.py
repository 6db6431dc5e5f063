#!/usr/bin/env python3
"""Every finder of `relearn neurons` on a real model, MiniLM, against numpy: its own WordPiece, its own forward pass in float64, each finder from its
formula (docs/finders.md). random has nothing to be held against, ablation needs a trained head (concept.ablation).

usage: test_real_finders.py --program RELEARN      exit 77: numpy or models/minilm is missing
"""

import argparse
import csv
import io
import json
import math
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy as np
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL, QUICK = ROOT / "models" / "minilm", ROOT / "sweeps" / "quick"
SENTENCES, POSITIVE = 120, "SEM:named_entity:location"
LAMBDA1, LAMBDA2, PROBED = 1e-3, 1e-3, (0, 3, 6)  # the probe's defaults; layers in which it is solved again
PROGRAM = None


# ------------------------------------------------------------------------------------------------ the model in float64


def tensors(path):
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    out = {}
    for name, about in header.items():
        if name == "__metadata__" or about["dtype"] != "F32":
            continue
        start, end = (8 + length + o for o in about["data_offsets"])
        out[name.removeprefix("bert.")] = np.frombuffer(content[start:end], "<f4").reshape(about["shape"]).astype(float)
    return out


def pieces(word, vocabulary):
    """WordPiece of one ASCII word: lower case, punctuation apart, the longest piece first."""
    out = []
    for part in re.findall(r"[a-z0-9]+|[^a-z0-9\s]", word.lower()):
        at, found = 0, []
        while at < len(part):
            end = next((e for e in range(len(part), at, -1) if ("##" if at else "") + part[at:e] in vocabulary), None)
            if end is None:
                found = ["[UNK]"]
                break
            found.append(("##" if at else "") + part[at:end])
            at = end
        out += found
    return [vocabulary[p] for p in out]


def norm(x, t, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * t[f"{name}.LayerNorm.weight"] + t[f"{name}.LayerNorm.bias"]


def linear(x, t, name):
    return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]


ERF = np.vectorize(math.erf)


def gelu(x):
    """x/2 (1 + erf(x / sqrt 2)), erf from a table so fine that linear interpolation errs by 1e-9."""
    return x / 2 * (1 + np.interp(x / math.sqrt(2), gelu.at, gelu.erf))


gelu.at = np.linspace(-6, 6, 60001)
gelu.erf = ERF(gelu.at)


def hidden_states(ids, t, layers, heads):
    x = norm(t["embeddings.word_embeddings.weight"][ids] + t["embeddings.position_embeddings.weight"][: len(ids)] + t["embeddings.token_type_embeddings.weight"][0], t, "embeddings")
    states = [x]
    for l in range(layers):
        at = f"encoder.layer.{l}"
        q, k, v = (linear(x, t, f"{at}.attention.self.{n}").reshape(len(ids), heads, -1).transpose(1, 0, 2) for n in ("query", "key", "value"))
        weight = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        weight = np.exp(weight - weight.max(-1, keepdims=True))
        mixed = (weight / weight.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(linear(mixed, t, f"{at}.attention.output.dense") + x, t, f"{at}.attention.output")
        x = norm(linear(gelu(linear(x, t, f"{at}.intermediate.dense")), t, f"{at}.output.dense") + x, t, f"{at}.output")
        states.append(x)
    return np.array(states)


def activations(sentences):
    """[L + 1, words, C]: the mean over a word's sub-words."""
    config = json.loads((MODEL / "config.json").read_text())
    vocabulary = {p: i for i, p in enumerate((MODEL / "vocab.txt").read_text(encoding="utf-8").split("\n"))}
    t, words = tensors(MODEL / "model.safetensors"), []
    for sentence in sentences:
        split = [pieces(w, vocabulary) for w in sentence]
        states = hidden_states([vocabulary["[CLS]"]] + sum(split, []) + [vocabulary["[SEP]"]], t, config["num_hidden_layers"], config["num_attention_heads"])
        at = 1
        for p in split:
            words.append(states[:, at : at + len(p)].mean(axis=1))
            at += len(p)
    return np.array(words).transpose(1, 0, 2)


# ------------------------------------------------------------------------------------------------ the finders


def probeless(x, y):
    return np.abs(x[y].mean(0) - x[~y].mean(0))


def mean_select(x, y):
    within = ((x[y] - x[y].mean(0)) ** 2).sum(0) + ((x[~y] - x[~y].mean(0)) ** 2).sum(0)
    return probeless(x, y) / np.sqrt(within / (len(y) - 2))


def gaussian(x, y):
    share, joint = np.array([(~y).mean(), y.mean()]), []
    for k, of in enumerate((~y, y)):
        squares = ((x[of] - x[of].mean(0)) ** 2).sum(0)
        variance = (squares / (of.sum() - 1) + squares) / (of.sum() + 6)
        joint.append(math.log(share[k]) - 0.5 * (np.log(variance) + (x - x[of].mean(0)) ** 2 / variance))
    own = np.where(y[:, None], joint[1], joint[0]) - np.logaddexp(joint[0], joint[1])
    return (-(share * np.log(share)).sum() + own.mean(0)) / math.log(2)


def average_precision(x, y):
    x = np.where(np.abs(x) < 0.05, 0, x)
    out = []
    for column in x.T:
        order = np.argsort(-column, kind="stable")
        last = np.r_[np.flatnonzero(np.diff(column[order])), len(y) - 1]  # of each threshold
        found = np.cumsum(y[order])[last]
        out.append((np.diff(np.r_[0, found]) / y.sum() * found / (last + 1)).sum())
    return np.array(out)


def iou(x, y):
    def one(v):
        active = v > np.sort(v, axis=0)[-1 - y.sum()]
        return (active & y[:, None]).sum(0) / (active | y[:, None]).sum(0)

    return np.maximum(one(x), one(-x))


def probe_weights(x, y):
    """Elastic net by accelerated proximal gradient with restarts, until the weights stand still."""
    z, n = (x - x.mean(0)) / x.std(0), len(y)
    z1 = np.c_[z, np.ones(n)]
    step = 1 / (np.linalg.norm(z1, 2) ** 2 / (4 * n) + LAMBDA2)
    w = ahead = np.zeros(z1.shape[1])
    momentum = 1.0
    for _ in range(20000):
        gradient = z1.T @ (1 / (1 + np.exp(-z1 @ ahead)) - y) / n + LAMBDA2 * np.r_[ahead[:-1], 0]
        new = ahead - step * gradient
        new[:-1] = np.sign(new[:-1]) * np.maximum(np.abs(new[:-1]) - step * LAMBDA1, 0)
        if (ahead - new) @ (new - w) > 0:
            momentum = 1.0
        later = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / later * (new - w)
        still = np.abs(new - w).max() < 1e-9
        w, momentum = new, later
        if still:
            break
    return w[:-1]


def weight_mass(w):
    """NeuroX's order of a class's neurons: the share of weight that a neuron and the weaker ones hold."""
    size = np.abs(w)
    return np.array([size[size <= s].sum() for s in size]) / size.sum()


# ------------------------------------------------------------------------------------------------ the comparison


class Finders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lines = [(QUICK / f"location_{n}.txt").read_text(encoding="utf-8").split("\n") for n in ("tokens", "labels")]
        kept = [(t, l) for t, l in zip(*lines) if t.isascii() and t][:SENTENCES]
        cls.place = tempfile.TemporaryDirectory()
        cls.files = [pathlib.Path(cls.place.name) / n for n in ("tokens", "labels")]
        for path, column in zip(cls.files, zip(*kept)):
            path.write_text("\n".join(column) + "\n")
        cls.sentences = [t.split(" ") for t, _ in kept]
        cls.y = np.array([POSITIVE in label.split(",") for _, l in kept for label in l.split(" ")])
        cls.trained = np.concatenate([np.full(len(s), i % 5 != 4) for i, s in enumerate(cls.sentences)])
        cls.x = activations(cls.sentences)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def scores(self, method):
        """[L + 1, C] of the program."""
        command = [PROGRAM, "neurons", "--model", MODEL, "--tokens", self.files[0], "--labels", self.files[1], "--positive", POSITIVE, "--method", method, "--csv"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        self.assertEqual([int(r["rank"]) for r in rows], list(range(len(rows))))
        out = np.full(self.x.shape[0] * self.x.shape[2], np.nan)
        out[[int(r["neuron"]) for r in rows]] = [float(r["score"]) for r in rows]
        self.assertTrue((np.diff([float(r["score"]) for r in rows]) <= 0).all(), "best first")
        return out.reshape(self.x.shape[0], -1)

    def close(self, method, find, tolerance):
        """Measured: 3e-8 to 1e-7 of the largest score; where only the order of words counts, two that are alike to float32 may change places."""
        expected = np.array([find(layer, self.y) for layer in self.x])
        found = self.scores(method)
        worst = np.abs(found - expected).max() / np.abs(expected).max()
        self.assertLess(worst, tolerance, method)

    def test_probeless(self):
        self.close("probeless", probeless, 1e-6)

    def test_mean_select(self):
        self.close("mean_select", mean_select, 2e-6)

    def test_gaussian(self):
        self.close("gaussian", gaussian, 2e-6)

    def test_average_precision(self):
        self.close("average_precision", average_precision, 5e-4)

    def test_iou(self):
        self.close("iou", iou, 5e-3)

    def test_linear_probe(self):
        found = self.scores("linear_probe")
        for layer in PROBED:
            w = probe_weights(self.x[layer][self.trained], self.y[self.trained])
            size = np.abs(w)
            sure = size > 0.01 * size.max()  # near 0 the order is rounding
            self.assertGreater(sure.sum(), 20)
            np.testing.assert_allclose(found[layer][sure], weight_mass(w)[sure], atol=1e-5)
            effect = mean_select(self.x[layer], self.y)
            out = (size == 0) & (found[layer] < 0)
            self.assertGreater(out.sum(), 20)
            self.assertLess(((size == 0) != (found[layer] < 0)).mean(), 0.02)
            np.testing.assert_allclose(found[layer][out], -1 / (1 + effect[out]), rtol=1e-4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    options, rest = parser.parse_known_args()
    PROGRAM = options.program
    if not (MODEL / "model.safetensors").exists():
        print(f"SKIPPED: no {MODEL}; ./quickstart fetches it")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *rest])
