#!/usr/bin/env python3
"""make_seeds.py WORLD OUT SOURCE: the seeds of every fuzz target, OUT/TARGET/*, and the words of its format, OUT/TARGET.dict.

Of the tiny world in WORLD, a finished sweep over it (WORLD/done) and the goldens of the source tree. libFuzzer reads no more of an input than its longest seed has,
and what is cut off seldom parses: so large files (weights, tokenizers) are made anew with a few entries, whole."""
import json
import pathlib
import re
import shutil
import struct
import sys

world, out, source = map(pathlib.Path, sys.argv[1:])
done, golden = world / "done", source / "tests/golden/text"
MOST_WORDS = 400  # of a dictionary


def put(target, name, data):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def copy(targets, *paths):
    for target in targets.split():
        for path in paths:
            put(target, f"{path.parent.name}-{path.name}", path.read_bytes())


def first(pattern):
    return sorted(done.glob(pattern))[0]


def small_safetensors(path, most=3):
    """The first few tensors, with their data moved to where the shorter header says."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, body, kept = json.loads(data[8:8 + size]), b"", {}
    for name, tensor in header.items():
        begin, end = tensor.get("data_offsets", (0, 0))
        if name == "__metadata__" or (len(kept) < most and end - begin <= 1024):
            kept[name] = tensor
            if name != "__metadata__":
                tensor["data_offsets"] = [len(body), len(body) + end - begin]
                body += data[8 + size + begin:8 + size + end]
    text = json.dumps(kept).encode()
    return struct.pack("<Q", len(text)) + text + body


def small_tokenizer(path, most=24):
    """All but most of the vocabulary: special tokens, the byte alphabet's first letters, and the merges among what is left."""
    tokenizer = json.loads(path.read_text())
    model, special = tokenizer["model"], {token["content"] for token in tokenizer["added_tokens"]}
    words = [word for word in model["vocab"] if word in special or len(word) == 1][:most + len(special)]
    words += [word for word in model["vocab"] if word.startswith("##")][:4]
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if all(part in words for part in (pair if isinstance(pair, list) else pair.split()))][:6]
        words += ["".join(pair if isinstance(pair, list) else pair.split()) for pair in model["merges"]]
    model["vocab"] = {word: i for i, word in enumerate(dict.fromkeys(words))}
    for token in tokenizer["added_tokens"]:
        token["id"] = model["vocab"].setdefault(token["content"], len(model["vocab"]))
    return json.dumps(tokenizer)


def flat_sweep(path):
    """With the names that fuzz_parser.c puts beside it."""
    text = path.read_text()
    for key, name in (("tokens", "tokens.txt"), ("labels", "labels.txt"), ("train", "data.conll"), ("validation", "data.conll"), ("test", "data.conll")):
        text = re.sub(rf"\b({key}: *)[\w./-]*[./][\w./-]+", rf"\1{name}", text)
    return re.sub(r"(model: *)\[[^\]]*\]", r"\1[.]", text)


copy("conll", world / "train.conll")
put("concept_tokens", "two", "one two\nthree four five\n")  # for the labels that fuzz_parser.c puts beside them
put("concept_labels", "two", "N/A SEM:a,b\nN/A N/A N/A\n")
copy("config", *world.glob("*/config.json"), *source.glob("sweeps/*/*/config.json"))
copy("vocab", world / "tiny-bert/vocab.txt")
for sweep in (world / "sweep.yaml", done / "sweep.yaml", *source.glob("sweeps/*.yaml"), *source.glob("sweeps/quick/*.yaml")):
    put("sweep", f"{sweep.parent.name}-{sweep.name}", flat_sweep(sweep))
copy("journal journal_sealed", done / "journal.jsonl")
copy("shard", first("runs/*.h5"))
put("checkpoint", "two-steps", struct.pack("<8s40sqq", b"RLTRAIN1", b"0123456789abcdef" * 2, 4, 2) + bytes(3 * 4 * 4 + 2 * 7 * 8) + b"0" * 32)
copy("neuron_table neuron_table_sealed", first("stages/*/neurons.bin"))
copy("stage_record stage_record_sealed", first("stages/*/stage.json"))
copy("vectors_bin", golden / "fasttext.bin")
put("vectors_vec", "three", "3 2\nthe 0.5 -1e-3\ncat 1 2\n\u00e9 3 4\n")
put("safetensors", "small", small_safetensors(first("stages/*/model.safetensors")))
for tokenizer in golden.glob("*/tokenizer.json"):
    put("tokenizer_json", tokenizer.parent.name, small_tokenizer(tokenizer))
put("merges", "three", "#version: 0.2\na b\nab c\nb c\n")  # as for the concept files
put("vocab_json", "six", '{"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4, "<|endoftext|>": 5}')

for folder in [path for path in out.iterdir() if path.is_dir()]:
    text = "\n".join(path.read_bytes().decode("latin-1") for path in sorted(folder.iterdir()))
    words = [word for word in dict.fromkeys(re.findall(r"[A-Za-z_<\[][\w.<>|\[\]]{2,30}", text)) if word.isascii()]
    (out / f"{folder.name}.dict").write_text("".join(f'"{word}"\n' for word in words[:MOST_WORDS]))
