#!/usr/bin/env python3
"""Goldens of the finders and readings, from scikit-learn, scipy, numpy and NeuroX's own formulas, on the small BERT of concept.py.

    python tools/goldens/finders.py      needs numpy, scipy, scikit-learn, neurox==1.0.9 (--no-deps); run tools/goldens/concept.py first

Reads tests/golden/concept/tiny/{activations.bin, analysis.json, tokens.txt, labels.txt}; writes finders.json there. Words the
tokenizer drops are left out, as under protocol corrected. NeuroX 1.0.9 on PyPI has linear_probe and probeless only; iou_probe.py
and gaussian_probe.py are those of its repository, whose formulas stand below.
"""
import ast
import json
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

TINY = Path(__file__).resolve().parents[2] / "tests" / "golden" / "concept" / "tiny"
LAMBDA1, LAMBDA2 = 1e-3, 2e-3


def load():
    sentences = [line.split(" ") for line in (TINY / "tokens.txt").read_text(encoding="utf-8").split("\n") if line]
    labels = [line.split(" ") for line in (TINY / "labels.txt").read_text(encoding="utf-8").split("\n") if line]
    pieces = json.loads((TINY / "analysis.json").read_text())["pieces"]
    W = len(pieces)
    X = np.fromfile(TINY / "activations.bin", "<f4").reshape(4, W, 16)
    y = np.array([label != "N/A" for line in labels for label in line])
    sentence = np.array([s for s, words in enumerate(sentences) for _ in words])
    keep = np.array(pieces) > 0
    return X[:, keep], y[keep], sentence[keep]


def average_precision(x, y):
    x = x.copy()
    x[np.abs(x) < 0.05] = 0  # neurox iou_probe.get_neuron_ordering, which does this to its caller's array
    return average_precision_score(y, x)


def iou(x, y):
    def one(v):
        threshold = np.sort(v)[::-1][y.sum()]
        active = v > threshold
        return (active & y).sum() / (active | y).sum()
    return max(one(x), one(-x))


def gaussian(x, y):
    """GaussianProbe of one neuron: lambda_0 = diag(cov), sigma = (lambda_0 + S) / (v_n + d + 2), v_n = d + 2 + n, d = 1."""
    x = x.astype(np.float64)
    log_joint = []
    for k in (False, True):
        v = x[y == k]
        sigma = (np.cov(v) + ((v - v.mean())**2).sum()) / (1 + 2 + len(v) + 1 + 2)
        log_joint.append(np.log((y == k).mean()) - 0.5 * (np.log(2 * np.pi * sigma) + (x - v.mean())**2 / sigma))
    log_joint = np.stack(log_joint, axis=1)
    log_p = log_joint - np.logaddexp.reduce(log_joint, axis=1, keepdims=True)
    share = np.array([(~y).mean(), y.mean()])
    entropy = -(share * np.log(share)).sum()
    return (entropy + log_p[np.arange(len(y)), y.astype(int)].mean()) / np.log(2)


def mean_select(x, y):
    x = x.astype(np.float64)
    a, b = x[y], x[~y]
    pooled = np.sqrt((((a - a.mean())**2).sum() + ((b - b.mean())**2).sum()) / (len(x) - 2))
    return abs(a.mean() - b.mean()) / pooled


def probe(X, y, sentence):
    """The elastic net on four fifths of the sentences, to 1e-12, and its accuracy on the last fifth."""
    train = sentence % 5 != 4
    wide = X.astype(np.float64)
    mean, sd = wide[train].mean(0), wide[train].std(0)
    z = (wide - mean) / sd
    model = LogisticRegression(penalty="elasticnet", solver="saga", C=1 / (train.sum() * (LAMBDA1 + LAMBDA2)),
                               l1_ratio=LAMBDA1 / (LAMBDA1 + LAMBDA2), tol=1e-12, max_iter=1000000, random_state=0)
    model.fit(z[train], y[train])
    return {"weight": model.coef_[0].tolist(), "mass_before": mass_before(model.coef_[0]), "intercept": float(model.intercept_[0]),
            "accuracy": float(model.score(z[~train], y[~train]))}


def neurox_top_neurons():
    """get_top_neurons alone, out of NeuroX's file: the module itself imports packages nobody needs here."""
    path = Path(sysconfig.get_paths()["purelib"]) / "neurox" / "interpretation" / "linear_probe.py"
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "get_top_neurons"]
    names = {"np": np}
    exec(compile(tree, str(path), "exec"), names)
    return names["get_top_neurons"]


def mass_before(weight, stride=100000):
    """The share of the weight mass up to which NeuroX does not take each neuron yet."""
    tensor = SimpleNamespace(cpu=lambda: SimpleNamespace(numpy=lambda: np.array([weight])))
    probe, find = SimpleNamespace(parameters=lambda: [SimpleNamespace(data=tensor)]), neurox_top_neurons()
    before = np.ones(len(weight))
    for p in range(stride, -1, -1):
        before[find(probe, p / stride, {"concept": 0})[1]["concept"]] = max(p - 1, 0) / stride
    return before.tolist()


def hsic(K, L):
    """Song et al. 2012, eq. 5."""
    n = len(K)
    K, L = K.copy(), L.copy()
    np.fill_diagonal(K, 0)
    np.fill_diagonal(L, 0)
    one = np.ones(n)
    return (np.trace(K @ L) + one @ K @ one * (one @ L @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ K @ L @ one)) / (n * (n - 3))


def cka(X, Y):
    X, Y = X.astype(np.float64), Y.astype(np.float64)
    K, L = X @ X.T, Y @ Y.T
    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


def main():
    X, y, sentence = load()
    neurons = [X[layer, :, c] for layer in range(X.shape[0]) for c in range(X.shape[2])]
    scores = {f.__name__: [float(f(x, y)) for x in neurons] for f in (average_precision, iou, gaussian, mean_select)}
    rng = np.random.default_rng(5)
    a = rng.integers(0, 12, 40).astype(float)
    b = a + rng.integers(0, 12, 40)
    golden = {"words": int(len(y)), "concept": int(y.sum()), "lambda1": LAMBDA1, "lambda2": LAMBDA2, "scores": scores,
              "probe": [probe(X[layer], y, sentence) for layer in range(X.shape[0])],
              "cka": [[float(cka(X[i, ::3], X[j, ::3])) for j in range(X.shape[0])] for i in range(X.shape[0])],
              "spearman": {"x": a.tolist(), "y": b.tolist(), "rho": float(spearmanr(a, b).statistic)}}
    (TINY / "finders.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(len(y), "words,", int(y.sum()), "of the concept; probe accuracies", [round(p["accuracy"], 3) for p in golden["probe"]])


if __name__ == "__main__":
    main()
