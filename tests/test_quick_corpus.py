#!/usr/bin/env python3
"""sweeps/quick is what tools/make_quick_corpus.py writes, byte for byte, and what the quick sweep needs: large enough, varied, not trivial."""
import collections
import json
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root / "tools"))
import make_quick_corpus  # noqa: E402

quick = root / "sweeps" / "quick"


def read_conll(name):
    """[[(word, tag), ...], ...], without the project's own reader"""
    sentences = [[]]
    for line in (quick / name).read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("-DOCSTART-"):
            columns = line.split(" ")
            assert len(columns) == 4, (name, line)
            sentences[-1].append((columns[0], columns[3]))
        elif sentences[-1]:
            sentences.append([])
    return [s for s in sentences if s]


def test_generator_reproduces_the_committed_files():
    files, vocab_size = make_quick_corpus.make_all()
    for name, text in files.items():
        assert (quick / name).read_bytes() == text.encode("utf-8"), f"{name} is not what the generator writes; run tools/make_quick_corpus.py"
    assert json.loads((quick / "random-bert" / "config.json").read_text())["vocab_size"] == vocab_size
    assert sum(path.stat().st_size for path in quick.rglob("*") if path.is_file()) < 400_000


def test_sizes_and_tags():
    for name, at_least in (("train.conll", 800), ("validation.conll", 200), ("test.conll", 200)):
        sentences = read_conll(name)
        assert len(sentences) >= at_least, (name, len(sentences))
        assert len({tuple(s) for s in sentences}) == len(sentences), f"{name} repeats a sentence"
        counts = collections.Counter(tag for s in sentences for _, tag in s)
        for kind in ("PER", "ORG", "LOC", "MISC"):
            assert counts["B-" + kind] >= 50, (name, kind, counts)
        for sentence in sentences:
            tags = ["O"] + [tag for _, tag in sentence]
            for before, tag in zip(tags, tags[1:]):
                assert not tag.startswith("I-") or before[1:] == tag[1:], (name, sentence)


def test_validation_is_not_a_look_up():
    train, validation = read_conll("train.conll"), read_conll("validation.conll")
    kinds = collections.defaultdict(set)
    for sentence in train:
        for word, tag in sentence:
            kinds[word.lower()].add(tag[2:])
    words = [word.lower() for s in validation for word, tag in s if tag != "O"]
    unseen = sum(word not in kinds for word in words) / len(words)
    ambiguous = sum(len(kinds[word]) > 1 for word in words) / len(words)
    assert unseen > 0.2 and ambiguous > 0.1, (unseen, ambiguous)
    assert not {tuple(s) for s in train} & {tuple(s) for s in validation}


def test_concept_corpus():
    tokens = (quick / "location_tokens.txt").read_text(encoding="utf-8").splitlines()
    labels = (quick / "location_labels.txt").read_text(encoding="utf-8").splitlines()
    assert len(tokens) == len(labels) >= 500
    for line, label_line in zip(tokens, labels):
        words, word_labels = line.split(" "), label_line.split(" ")
        assert len(words) == len(word_labels) and all(words), line
        assert set(word_labels) <= {"N/A", make_quick_corpus.LOCATION}
        assert make_quick_corpus.LOCATION in word_labels, f"no location in: {line}"


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("ok", name)
