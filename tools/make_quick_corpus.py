#!/usr/bin/env python3
"""Writes sweeps/quick: a small NER corpus in CoNLL columns, a location concept corpus, and the vocabulary of random-bert.

    python3 tools/make_quick_corpus.py [FOLDER]        default: sweeps/quick of this repository

Deterministic: the numbers come from SplitMix64 (Steele, Lea, Flood 2014), not from Python's random module, so every Python version
writes the same bytes; tests/test_quick_corpus.py compares them with the committed files.

Made to be learnable but not trivial: a quarter of all names and a dozen frames occur only in validation and test, and many names
(Jordan, Washington, Chelsea, Florence ...) are a person, a place or a club depending on the sentence."""
import collections
import pathlib
import sys

import quick_corpus_words as words

SIZES = {"train.conll": 900, "validation.conll": 250, "test.conll": 200}
CONCEPT_SENTENCES = 600
LOCATION = "SEM:named_entity:location"
VOCABULARY_SIZE = 3000

# slot -> (entity type, inventory); PER, LAST and GIVEN are put together from two inventories
ENTITIES = {
    "CITY": ("LOC", words.CITY), "COUNTRY": ("LOC", words.COUNTRY), "REGION": ("LOC", words.REGION),
    "COMPANY": ("ORG", words.COMPANY), "BODY": ("ORG", words.BODY), "TEAM": ("ORG", words.TEAM),
    "NAT": ("MISC", words.NATIONALITY), "EVENT": ("MISC", words.EVENT),
}
FIXED = {"Washington": "LOC"}  # names that frames spell out; CoNLL tags a capital that stands for its government LOC


class SplitMix64:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() % n  # n is tiny beside 2**64: the bias is far below one part in 2**50

    def choose(self, items):
        return items[self.below(len(items))]


class Names:
    """One split's view of an inventory: training never sees every fourth name, validation and test draw half of theirs from those."""

    def __init__(self, rng, held_out):
        self.rng, self.held_out = rng, held_out

    def choose(self, inventory):
        unseen = inventory[3::4]
        if self.held_out and self.rng.below(2):
            return self.rng.choose(unseen)
        seen = [name for i, name in enumerate(inventory) if i % 4 != 3]
        return self.rng.choose(seen)


def fill(slot, names):
    """-> (text, entity type or None) of one slot"""
    rng = names.rng
    if slot in ENTITIES:
        kind, inventory = ENTITIES[slot]
        return names.choose(inventory), kind
    if slot == "PER":
        given = names.choose(words.GIVEN)
        if rng.below(8) == 0:
            given += " " + chr(ord("A") + rng.below(26)) + "."
        return given + " " + names.choose(words.FAMILY), "PER"
    if slot == "LAST":
        return names.choose(words.FAMILY), "PER"
    if slot == "GIVEN":
        return names.choose(words.GIVEN), "PER"
    if slot in words.PLAIN:
        return rng.choose(words.PLAIN[slot]), None
    numbers = {"YEAR": (1920, 106), "MM": (1, 12), "DD": (1, 28), "NUM": (2, 96), "D": (0, 7), "AGE": (18, 75)}
    first, count = numbers[slot]
    value = first + rng.below(count)
    return ("%02d" if slot == "MM" else "%d") % value, None


def expand(frame, names):
    """-> [(word, tag)] of one sentence, tags in IOB2"""
    sentence = []
    for token in frame.split(" "):
        if "{" not in token:
            sentence.append((token, "B-" + FIXED[token] if token in FIXED else "O"))
            continue
        text, kind, rest = "", None, token
        while "{" in rest:  # a token may hold several plain slots, e.g. {D}-{D}
            before, after = rest.split("{", 1)
            slot, rest = after.split("}", 1)
            value, kind = fill(slot.rstrip("^"), names)
            text += before + (value.upper() if slot.endswith("^") else value)
        text += rest
        if text.lower().startswith("the "):
            text = text[4:]
            if not slot.endswith("^") and (not sentence or sentence[-1][0] != "("):
                sentence.append(("the", "O"))
        for i, word in enumerate(text.split(" ")):
            sentence.append((word, "O" if kind is None else ("B-" if i == 0 else "I-") + kind))
    first, tag = sentence[0]
    if first.islower():
        sentence[0] = (first[0].upper() + first[1:], tag)
    return sentence


def sentences(count, frames, rng, held_out, seen):
    """`count` sentences that are not in `seen`, which grows; frames are used in turn, so each occurs about equally often"""
    names, out = Names(rng, held_out), []
    turn = rng.below(len(frames))
    while len(out) < count:  # ends: most frames have thousands of fillings; one without slots is taken once
        sentence = expand(frames[turn % len(frames)], names)
        if tuple(sentence) not in seen:
            seen.add(tuple(sentence))
            out.append(sentence)
        turn += 1
    for i in range(len(out) - 1, 0, -1):  # Fisher-Yates: neighbours shall not share a frame
        j = rng.below(i + 1)
        out[i], out[j] = out[j], out[i]
    return out


def conll(sentence_list):
    lines = ["-DOCSTART- -X- -X- O", ""]
    for sentence in sentence_list:
        lines += ["%s _ _ %s" % pair for pair in sentence] + [""]
    return "\n".join(lines) + "\n"


def concept(sentence_list):
    tokens, labels = [], []
    for sentence in sentence_list:
        tokens.append(" ".join(word for word, _ in sentence))
        labels.append(" ".join(LOCATION if tag.endswith("-LOC") else "N/A" for _, tag in sentence))
    return "\n".join(tokens) + "\n", "\n".join(labels) + "\n"


def basic_tokens(word):
    """BERT's uncased pre-tokenisation of an ASCII word: lower case, punctuation apart."""
    out, run = [], ""
    for c in word.lower():
        if c.isalnum():
            run += c
        else:
            out += [run] if run else []
            out.append(c)
            run = ""
    return out + ([run] if run else [])


def vocabulary(sentence_list):
    """Special tokens, every ASCII character alone and as a continuation, then the most frequent words and endings."""
    whole, endings = collections.Counter(), collections.Counter()
    for sentence in sentence_list:
        for word, _ in sentence:
            for token in basic_tokens(word):
                whole[token] += 1
                for length in (2, 3):
                    if len(token) > length:
                        endings["##" + token[-length:]] += 1
    characters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + characters + ["##" + c for c in characters if c.isalnum()]
    known = set(vocab)
    by_count = sorted(((count, token) for token, count in (whole + endings).items()), key=lambda x: (-x[0], x[1]))
    for _, token in by_count:
        if token not in known and len(vocab) < VOCABULARY_SIZE:
            known.add(token)
            vocab.append(token)
    return vocab


def make_all():
    """-> {path relative to sweeps/quick: text}"""
    common = sum((words.frames(text) for text in (words.NEWS_FRAMES, words.BUSINESS_FRAMES, words.SPORT_FRAMES, words.LIFE_FRAMES)), [])
    held_out = words.frames(words.HELD_OUT_FRAMES)
    files, everything, seen = {}, [], set()  # seen: no sentence of one split occurs in another
    for seed, (name, count) in enumerate(SIZES.items(), start=1):
        train = name.startswith("train")
        made = sentences(count, common if train else common + 2 * held_out, SplitMix64(seed), not train, seen)
        files[name] = conll(made)
        everything += made if train else []
    made = sentences(CONCEPT_SENTENCES, words.frames(words.CONCEPT_FRAMES), SplitMix64(4), True, seen)
    files["location_tokens.txt"], files["location_labels.txt"] = concept(made)
    vocab = vocabulary(everything + made)
    files["random-bert/vocab.txt"] = "\n".join(vocab) + "\n"
    return files, len(vocab)


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "sweeps" / "quick"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    files, vocab_size = make_all()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
        print("%s: %d bytes" % (path, len(text.encode("utf-8"))))
    print("random-bert vocabulary: %d" % vocab_size)


if __name__ == "__main__":
    main()
