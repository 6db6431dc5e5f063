#!/usr/bin/env python3
"""Goldens of fastText models, made with the original: tests/golden/text/fasttext.bin and fasttext.tsv.

The model is written here, so that every number in it is known (training leaves parts of the matrix to chance); the vectors
are what the original gives for it: word, its input rows, and the bits of FastText::getWordVector, all by tabs.

Pin: fasttext-wheel==0.9.2 (PyPI), which is Facebook's 0.9.2 with its binding; numpy.
"""
import math
import struct
import sys
from importlib.metadata import version
from pathlib import Path

import fasttext
import numpy

# A script of this name hides the package from itself: run it as `python3 -P tools/goldens/fasttext.py`.
GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "text"
DIM, BUCKET, MINN, MAXN = 5, 40, 1, 4
WORDS = ["the", "</s>", "London", "cat", "a", "Z\u00fcrich", "\u6771\u4eac", "sat,", "New-York", "\U0001f600"]
ASKED = WORDS + ["dog", "Ankara", "1996", "\u00e9", "e\u0301", "\x80", "<", ">", "<the>", "the</s>", "\u6771", "x" * 300, "\u00a0",
                 "\U0001f600\U0001f600", "O'Brien", "-DOCSTART-", "\u0130stanbul", "C\u00f4te", "</S>"]


def model_bytes():
    args = [DIM, 5, 5, 1, 5, 1, 2, 2, BUCKET, MINN, MAXN, 100]
    out = struct.pack("<ii12id", 793712314, 12, *args, 1e-4)
    out += struct.pack("<iiiqq", len(WORDS), len(WORDS), 0, 1000, -1)
    for i, word in enumerate(WORDS):
        out += word.encode() + struct.pack("<xqb", 100 - i, 0)
    rows = len(WORDS) + BUCKET
    out += struct.pack("<bqq", 0, rows, DIM)
    out += b"".join(struct.pack("<f", math.sin(0.3 * r + 0.7 * c) * 10 ** (r % 5 - 2)) for r in range(rows) for c in range(DIM))
    return out + struct.pack("<bqq", 0, len(WORDS), DIM) + bytes(4 * DIM * len(WORDS))


def main():
    if version("fasttext-wheel") != "0.9.2":
        sys.exit("fasttext.py: the goldens are made with fasttext-wheel 0.9.2")
    path = GOLDEN / "fasttext.bin"
    path.write_bytes(model_bytes())
    model = fasttext.load_model(str(path))
    with open(GOLDEN / "fasttext.tsv", "w", encoding="utf-8", newline="\n") as out:
        for word in ASKED:
            rows = " ".join(str(i) for i in model.get_subwords(word)[1]) if len(word) < 100 else "-"
            bits = " ".join(f"{b:08x}" for b in numpy.asarray(model.get_word_vector(word), dtype="<f4").view("<u4"))
            out.write(f"{word}\t{rows}\t{bits}\n")


main()
