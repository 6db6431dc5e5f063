#!/usr/bin/env python3
"""make_seeds.py WORLD OUT SOURCE: the seeds of every fuzz target, OUT/TARGET/*, and the words of its format, OUT/TARGET.dict.

Of the tiny world in WORLD, a finished sweep over it (WORLD/done) and the goldens of the source tree. libFuzzer reads no more of an input than its longest seed has,
and what is cut off seldom parses: so large files (weights, tokenizers) are made anew with a few entries, whole."""
import json
import math
import pathlib
import re
import shutil
import struct
import sys

world, out, source = map(pathlib.Path, sys.argv[1:])
done, golden = world / "done", source / "tests/golden/text"
MOST_WORDS = 400  # of a dictionary
REST = """# what the examples do not have
sweep: rest
data: {train: data.conll, validation: data.conll, format: conll, limit: 5}
model: .
concepts:
  a: {tokens: tokens.txt, labels: labels.txt, positive: [SEM:a, "x y"], type: [LOC]}
  b: {words: [one, New Delhi], in: tokens.txt, type: LOC}
  c: {words: tokens.txt}
  d: {pattern: '^(19|20)\\d\\d$'}
  e: {ner: [LOC, PER]}
grid: {concept: [a, b], seed: 1..9..4, protocol: [corrected, head], prune.ratio: [.5, 1e-1], prune.layers: ["1..3, 6", [0, 2], all], arm: relearn}
exclude: [{seed: [1, 5], prune.ratio: 0.5}, {protocol: head, concept: b}]
filter: "seed<9 && model != '.', concept!=\\"e\\" , prune.ratio >= 0.1"
analyse: {top_words: 3, also: [a, d], similarity: {vectors: tokens.txt}}
prune: {permanent: true, site: ~}
keep: final
memory_per_rank: 8GB
retries: 0
"""


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


def safetensors(tensors):
    """A file of zeros: {name: (dtype, shape)}."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape) in tensors.items():
        size = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1}[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def weights_of_bert():
    """Of the model that fuzz_parser.c's config.json describes: C = F = V = labels = 2, P = 4, one layer."""
    shapes = {"bert.embeddings.word_embeddings.weight": [2, 2], "bert.embeddings.position_embeddings.weight": [4, 2],
              "bert.embeddings.token_type_embeddings.weight": [2, 2]}
    layer = "bert.encoder.layer.0."
    for norm in ("bert.embeddings.LayerNorm", layer + "attention.output.LayerNorm", layer + "output.LayerNorm"):
        shapes |= {norm + ".weight": [2], norm + ".bias": [2]}
    for dense in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"):
        shapes |= {layer + dense + ".weight": [2, 2], layer + dense + ".bias": [2]}
    shapes |= {"classifier.weight": [2, 2], "classifier.bias": [2]}
    return {name: ("F32", shape) for name, shape in shapes.items()}


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
    for key, name in (("tokens", "tokens.txt"), ("in", "tokens.txt"), ("labels", "labels.txt"), ("train", "data.conll"), ("validation", "data.conll"), ("test", "data.conll")):
        text = re.sub(rf"\b({key}: *)[\w./-]*[./][\w./-]+", rf"\1{name}", text)
    return re.sub(r"(model: *)\[[^\]]*\]", r"\1[.]", text)


copy("conll", world / "train.conll")
put("concept_tokens", "two", "one two\nthree four five\n")  # for the labels that fuzz_parser.c puts beside them
put("concept_labels", "two", "N/A SEM:a,b\nN/A N/A N/A\n")
copy("config", *world.glob("*/config.json"), *source.glob("sweeps/*/*/config.json"), *source.glob("tests/golden/model/*/config.json"), first("stages/*/config.json"))
tiny = json.loads((world / "tiny-bert/config.json").read_text())
for key, value in {"pruned_heads": {"0": [1]}, "quantization_config": {}, "pad_token_id": 999, "id2label": {"0": "O", "1": "O"}, "label2id": [], "is_decoder": True,
                   "relearn_random_init": "x", "architectures": ["BertForTokenClassification"]}.items():
    put("config", f"with-{key}", json.dumps({**tiny, key: value}))
put("tokenizer_config", "whole", json.dumps({
    "tokenizer_class": "BertTokenizerFast", "do_lower_case": False, "strip_accents": None, "tokenize_chinese_chars": True, "model_max_length": 512,
    "unk_token": "[UNK]", "sep_token": {"content": "[SEP]", "lstrip": False}, "additional_special_tokens": ["<s>"], "extra_special_tokens": [{"content": "one"}],
    "added_tokens_decoder": {"0": {"content": "[PAD]", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}}}))
put("special_tokens_map", "whole", json.dumps({"cls_token": "[CLS]", "pad_token": {"content": "[PAD]"}, "additional_special_tokens": ["<s>", {"content": "##s"}]}))
copy("vocab", world / "tiny-bert/vocab.txt")
for sweep in (world / "sweep.yaml", done / "sweep.yaml", *source.glob("sweeps/*.yaml"), *source.glob("sweeps/quick/*.yaml")):
    put("sweep", f"{sweep.parent.name}-{sweep.name}", flat_sweep(sweep))
put("sweep", "rest", REST)
put("sweep", "grown", """sweep: grown  # what fuzz_parser.c's other sweep can go on from
data: {train: data.conll, validation: data.conll}
model: .
concepts: {a: {tokens: tokens.txt, labels: labels.txt, positive: SEM:a}}
grid: {concept: a, seed: [0, 3], train.epochs: [2, 3], prune.layers: ["1..2"]}
retrain: {rounds: 1}
""")
copy("journal journal_sealed", done / "journal.jsonl")
copy("shard", first("runs/*.h5"))
for kind in range(8):  # of edits: fuzz_shard_edited.c
    put("shard_edited", f"edit-{kind}", bytes((kind, 17, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8)))
put("shard_edited", "text", bytes((5, 0, 0, 11, 8)) + b"location" + bytes(50))
for target in ("checkpoint", "checkpoint_sealed"):
    put(target, "two-steps", struct.pack("<8s40sqq", b"RLTRAIN1", b"0123456789abcdef" * 2, 4, 2) + bytes(3 * 4 * 4 + 2 * 7 * 8) + b"0" * 32)
copy("neuron_table neuron_table_sealed", first("stages/*/neurons.bin"))
copy("stage_record stage_record_sealed", first("stages/*/stage.json"))
copy("training_log", first("stages/*/training.jsonl"))
put("words", "three", "two three\ntwo\r\n\nthree\n")
put("sentences", "two", "one two\tthree\n\nTwo  one\r\n")
copy("vectors_bin", golden / "fasttext.bin")
put("vectors_vec", "three", "3 2\nthe 0.5 -1e-3\ncat 1 2\n\u00e9 3 4\n")
put("safetensors", "small", small_safetensors(first("stages/*/model.safetensors")))
put("safetensors", "types", safetensors({"a": ("F32", [2, 2]), "b": ("BF16", [3]), "c": ("F16", []), "d": ("I64", [1]), "e": ("U8", [2, 0])}))
put("safetensors_index", "one", '{"metadata": {"total_size": 1}, "weight_map": {"a": "one.safetensors"}}')
put("weights", "bert", safetensors(weights_of_bert()))
for tokenizer in golden.glob("*/tokenizer.json"):
    put("tokenizer_json", tokenizer.parent.name, small_tokenizer(tokenizer))
put("merges", "three", "#version: 0.2\na b\nab c\nb c\n")  # as for the concept files
put("vocab_json", "six", '{"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4, "<|endoftext|>": 5}')

for folder in [path for path in out.iterdir() if path.is_dir()]:
    text = "\n".join(path.read_bytes().decode("latin-1") for path in sorted(folder.iterdir()))
    words = [word for word in dict.fromkeys(re.findall(r"[A-Za-z_<\[][\w.<>|\[\]]{2,30}", text)) if word.isascii()]
    (out / f"{folder.name}.dict").write_text("".join(f'"{word}"\n' for word in words[:MOST_WORDS]))
