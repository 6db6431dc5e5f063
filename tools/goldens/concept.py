#!/usr/bin/env python3
"""Goldens of the concept room, from NeuroX's own functions and from a small BERT under PyTorch.

    python tools/goldens/concept.py      needs numpy, torch==2.13.0, transformers==5.17.0, neurox==1.0.9 (pip install --no-deps)

tests/golden/concept/neurox.json: top words, class means, probeless scores of a fixed pseudo-random matrix, to the bit.
tests/golden/concept/tiny/: a small random cased BERT (config.json, model.safetensors, vocab.txt), a concept corpus written for
this project (tokens.txt, labels.txt) with words of several sub-words and words that the tokenizer drops, every word's activation in
every layer (activations.bin, float32 [L+1, W, C]) and, in analysis.json, the neuron tables of the base model and of a pruned
one under each protocol, computed by numpy from protocol §5-§11.

NeuroX adds z-scores to a Python 0. Under numpy 1.24, which the authors ran, that makes a double; under numpy 2 it stays
float32. With numpy 2 the z-scores are therefore widened before they are added; run with numpy 1.24 nothing is touched.
"""
import importlib.util
import json
import sysconfig
from pathlib import Path

import numpy as np

OUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "concept"


def neurox(path):
    place = Path(sysconfig.get_paths()["purelib"]) / "neurox" / path
    if not place.exists():
        place = Path("/opt/rl/venv/lib/python3.11/site-packages/neurox") / path
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


corpus, probeless = neurox("analysis/corpus.py"), neurox("interpretation/probeless.py")


class WideAbs:  # numpy as corpus.py sees it, with |z| in double
    def __getattr__(self, name):
        return getattr(np, name)

    def abs(self, x):
        return np.abs(x).astype(np.float64)


if int(np.__version__.split(".")[0]) >= 2:
    corpus.np = WideAbs()


def bits(x):
    return [float(v) for v in np.asarray(x, dtype=np.float32).ravel()]  # a double's repr holds every float32


def top_words(words, column, k=5):
    """[(word, score)] by NeuroX; a channel without spread warns and gives none."""
    with np.errstate(all="ignore"):
        return [[w, float(s)] for w, s in corpus.get_top_words({"source": [words]}, [column[:, None]], 0, k)]


# ----------------------------------------------------------------------------------------------- a fixed matrix

def fixed_matrix(W, C, types):
    """The same numbers as tests/concept/fixed_matrix.h: exact in double, so equal in C and here."""
    state, X, word = 1, np.empty((W, C), np.float32), []

    def uniform():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 32) / 2.0**32

    for w in range(W):
        v = uniform()
        word.append(int(types * v * v * v))
        for c in range(C):
            u = 2.0 * uniform() - 1.0
            X[w, c] = np.float32(u * u * u * (c + 1) + 0.125 * c)
    X[:, 3] = np.float32(0.1)                        # constant, with a rounding-sized sd
    X[:, 7] = 0.5                                    # constant, exactly
    X[:, 5] = [0.0 if t == types // 2 else np.float32(0.3) for t in word]  # a pruned channel with dropped words
    X[:, 9] = np.float32(1e-3) * X[:, 9] + np.float32(100)                 # a small spread on a large mean
    label = [(t * 7 + w // 500) % 4 if t % 5 == 0 else 0 for w, t in enumerate(word)]
    return X, word, label


def write_neurox():
    W, C, types = 3001, 20, 600
    X, word, label = fixed_matrix(W, C, types)
    words = [str(t) for t in word]
    means = probeless._get_mean_vectors(X, np.array(label))
    tags = {str(t): bits(probeless._get_tag_wise_ranking(means[1], t)[0]) for t in means[1]}
    order = [int(t) for t in means[1]]
    overall = np.zeros_like(means[0][0])
    for a in range(len(order)):
        for b in range(a + 1, len(order)):
            overall = overall + np.abs(means[0][a] - means[0][b])
    assert probeless._get_overall_ranking(means[0]) == np.argsort(overall)[::-1].tolist()
    golden = {"W": W, "C": C, "types": types, "class_order": order,
              "class_means": [bits(m) for m in means[0]], "tag_scores": tags, "overall": bits(overall),
              "mean": bits([np.mean(np.ascontiguousarray(X[:, c])) for c in range(C)]),
              "sd": bits([np.std(np.ascontiguousarray(X[:, c])) for c in range(C)]),
              "sums": {str(n): float(np.sum(np.ascontiguousarray(X[:n, 1]))) for n in (1, 7, 8, 9, 128, 129, 1000, 3001)},
              "top_words": [[[int(w), s] for w, s in top_words(words, np.ascontiguousarray(X[:, c]))] for c in range(C)]}
    (OUT / "neurox.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


# --------------------------------------------------------------------------------------------------- a small BERT

SENTENCES = """
Amelia flew from Lisbon to Buenos Aires last night .
The river near Köln froze in 1996 and again in 2010 .
Three ships left Rotterdam for Montevideo with grain .
She said \x80 hello \x99 to the mayor of Zürich .
Ottawa and Nairobi signed the treaty , Oslo did not .
He reads O'Brien and "Ulysses" in the park .
A storm closed the port of Valparaíso for 12 days .
Our guide walked us through Samarkand at dawn .
The team lost 3-1 in Glasgow but won in Turin .
\x80 Nobody \x99 lives on that island , he wrote .
Prices in Jakarta rose while rents in Perth fell .
Maria moved to Antananarivo when she was nine .
The old bridge at Mostar was rebuilt stone by stone .
Trains to Vladivostok take six days and seven nights .
We met £ 40 short of the fare to Cork .
Lima , Quito and Bogotá share the same grey sky .
My uncle paints boats , houses and the sea .
In Reykjavik the sun hardly sets in June .
The letter came from Addis Ababa without a stamp .
Nothing happened in the village until the well ran dry .
Tashkent has wide streets ; Fez has narrow ones .
The court in Hague heard both sides on Monday .
Ten students from Kraków built a small satellite .
Wine from Mendoza , cheese from Parma , bread from here .
""".strip("\n").split("\n")
PLACES = set("""Lisbon Buenos Aires Köln Rotterdam Montevideo Zürich Ottawa Nairobi Oslo Valparaíso Samarkand Glasgow Turin Jakarta
Perth Antananarivo Mostar Vladivostok Cork Lima Quito Bogotá Reykjavik Addis Ababa Tashkent Fez Hague Kraków Mendoza
Parma""".split())
LOCATION, TOP = "SEM:named_entity:location", 5


def write_tiny_model(folder):
    import torch
    from transformers import BertConfig, BertForTokenClassification
    words = [w for s in SENTENCES for w in s.split(" ")]
    chars = sorted({c for w in words for c in w if c.isprintable()})
    whole = sorted({w for w in words if len(w) > 1 and w.isascii() and w.isalpha() and (w.islower() or len(w) < 5)})
    pieces = ["##" + e for e in ("er", "ow", "an", "in", "ar", "to", "ton", "ok", "burg")]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *chars, *("##" + c for c in chars), *whole, *pieces]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 64}) + "\n")
    torch.manual_seed(7)
    config = BertConfig(vocab_size=len(vocab), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24,
                        max_position_embeddings=64, type_vocab_size=2, num_labels=2, initializer_range=0.2,
                        id2label={0: "O", 1: "B-LOC"}, label2id={"O": 0, "B-LOC": 1})
    model = BertForTokenClassification(config).eval()
    with torch.no_grad():  # biases and LayerNorms away from 0 and 1, so that each of them counts
        for name, p in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                p.add_(0.2 * torch.randn_like(p))
    model.save_pretrained(folder)
    return model


def tokenizer_of(folder):
    from transformers import BertTokenizer
    vocab = [line.rstrip("\n") for line in open(folder / "vocab.txt", encoding="utf-8")]
    return BertTokenizer(vocab={t: i for i, t in enumerate(vocab)}, do_lower_case=False)


def activations(model, tokenizer):
    """[L+1, W, C], and how many sub-words each word has: one sentence at a time, protocol §5."""
    import torch
    layers, pieces = [], []
    for sentence in SENTENCES:
        words = sentence.split(" ")
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            states = model.bert(**encoded, output_hidden_states=True).hidden_states
        states = np.stack([s[0].numpy() for s in states])
        ids = encoded.word_ids(0)
        for w in range(len(words)):
            at = [t for t, i in enumerate(ids) if i == w]
            row = np.zeros((states.shape[0], states.shape[2]), np.float32)
            for t in at:
                row += states[:, t]
            layers.append(row / np.float32(max(len(at), 1)))
            pieces.append(len(at))
    return np.stack(layers, axis=1), pieces


def similarity(vectors, a, b):
    if not a or not b:
        return None
    x, y = (np.mean([vectors[w] for w in words], axis=0) for words in (a, b))
    norm = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / norm) if norm > 0 else 0.0


def alphabetic_null(protocol, words):
    if protocol == "published":
        return any(not w.isalpha() for w in words)
    return not any(w.isalpha() for w in words)


def analyse(protocol, X, pieces, words, is_place, base, vectors):
    L1, _, C = X.shape
    N = L1 * C
    if protocol == "corrected":  # words without sub-words are no data
        keep = [w for w, k in enumerate(pieces) if k]
        X, words, is_place = X[:, keep], [words[w] for w in keep], is_place[keep]
    flat = np.ascontiguousarray(X.transpose(1, 0, 2).reshape(len(words), N))
    wide = flat.astype(np.float64)
    concept, rest = wide[is_place], wide[~is_place]
    difference = concept.mean(0) - rest.mean(0)
    pooled = np.sqrt((((concept - concept.mean(0))**2).sum(0) + ((rest - rest.mean(0))**2).sum(0)) / (len(words) - 2))
    with np.errstate(all="ignore"):
        effect = np.where(pooled > 0, difference / pooled, 0.0)
    if protocol == "corrected":
        score = np.abs(difference)
        order = sorted(range(N), key=lambda n: (-score[n], n))
    else:
        means = probeless._get_mean_vectors(flat, is_place.astype(int))[1]
        score = probeless._get_tag_wise_ranking(means, 1)[0].astype(np.float64)
        order = sorted(range(N), key=lambda n: (-score[n], -n))
    rank = np.empty(N, int)
    rank[order] = np.arange(N)
    tops = [top_words(words, np.ascontiguousarray(flat[:, n])) for n in range(N)]
    sd = np.array([np.std(np.ascontiguousarray(flat[:, n])) for n in range(N)])
    if protocol == "corrected":
        reference = np.array(base["sd"]) if base else sd.astype(np.float64)
        limit = np.repeat(0.01 * np.median(reference.reshape(L1, C), axis=1), C)
        null = sd < limit
        saliency = 1 - rank / (N - 1)
    else:
        null = np.array([alphabetic_null(protocol, [w for w, _ in t]) for t in tops])
        m = (N if protocol == "published" else N - C) / 100
        saliency = np.abs((rank // 100 + 1 - m) / (1 - m))
    listed = [[w for w, _ in t] for t in tops]
    if base:
        sims = [similarity(vectors, listed[n], [w for w, _ in base["top_words"][n]]) for n in range(N)]
    else:
        sims = [1.0 if words_n else None for words_n in listed]
    return {"score": score.tolist(), "order": [int(n) for n in order], "sd": bits(sd), "null": [int(x) for x in null],
            "saliency": [None if z else float(s) for s, z in zip(saliency, null)], "similarity": sims,
            "mean_difference": bits(difference), "effect_size": bits(effect), "top_words": tops}


def prune(model, ids, wrap):
    """A copy whose gammas of these neurons are 0: the LayerNorm that makes hidden state q, Python's wrap for q = 0."""
    import copy
    import torch
    pruned = copy.deepcopy(model)
    C, bert = model.config.hidden_size, pruned.bert
    with torch.no_grad():
        for n in ids:
            q, i = divmod(n, C)
            norm = bert.embeddings.LayerNorm if q == 0 and not wrap else bert.encoder.layer[q - 1].output.LayerNorm
            norm.weight[i] = 0
    return pruned


def write_tiny():
    folder = OUT / "tiny"
    model = write_tiny_model(folder)
    tokenizer = tokenizer_of(folder)
    words = [w for s in SENTENCES for w in s.split(" ")]
    is_place = np.array([w in PLACES for w in words])
    (folder / "tokens.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    (folder / "labels.txt").write_text(
        "\n".join(" ".join(LOCATION if w in PLACES else "N/A" for w in s.split(" ")) for s in SENTENCES) + "\n")
    X, pieces = activations(model, tokenizer)
    X.astype("<f4").tofile(folder / "activations.bin")
    table = model.bert.embeddings.word_embeddings.weight.detach().numpy().astype(np.float64)
    vectors = {}
    for w in set(words):
        ids = tokenizer([w], is_split_into_words=True, add_special_tokens=False)["input_ids"]
        vectors[w] = table[ids].mean(0) if ids else np.zeros(table.shape[1])
    golden = {"pieces": pieces, "pruned": {}}
    for protocol in ("corrected", "published", "head"):
        base = analyse(protocol, X, pieces, words, is_place, None, None)
        ids = base["order"][-20:] if protocol == "head" else base["order"][:20]
        after, _ = activations(prune(model, ids, protocol != "corrected"), tokenizer)
        golden[protocol] = base
        golden["pruned"][protocol] = {"ids": ids, **analyse(protocol, after, pieces, words, is_place, base, vectors)}
    (folder / "analysis.json").write_text(json.dumps(golden, separators=(",", ":"), ensure_ascii=True) + "\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write_neurox()
    if int(np.__version__.split(".")[0]) >= 2:  # torch 2.13 needs numpy 2
        write_tiny()
    print("written with numpy", np.__version__, "into", OUT)
