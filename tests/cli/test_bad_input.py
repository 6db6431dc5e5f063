"""Every kind of bad input of the issue: one clear line that names file and place, exit 2 before computing, no damage."""
import json
import os
import shutil
import struct

from cli_support import refused, relearn, run_tests, world

TUNE = ("--train", "train.conll", "--validation", "validation.conll")


def model_copy(name, source="tuned"):
    shutil.rmtree(world / name, ignore_errors=True)
    shutil.copytree(world / source, world / name)
    return world / name


def tensors(folder):
    data = (folder / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def write_tensors(folder, header, data, size=None):
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + data)


def without(header, data, name):
    """The same file as if the tensor had never been written: later offsets move up."""
    start, end = header[name]["data_offsets"]
    kept = {k: v for k, v in header.items() if k != name}
    for value in kept.values():
        if "data_offsets" in value and value["data_offsets"][0] >= end:
            value["data_offsets"] = [o - (end - start) for o in value["data_offsets"]]
    return kept, data[:start] + data[end:]


def evaluation_refused(folder, says):
    return refused("eval", "--model", folder.name, "--data", "validation.conll", says=[folder.name, *([says] if isinstance(says, str) else says)])


def test_prepare():
    relearn("finetune", "--model", "tiny-bert", *TUNE, "--out", "tuned", "--set", "train.epochs=1")


def test_empty_and_truncated_safetensors():
    folder = model_copy("bad")
    whole = (folder / "model.safetensors").read_bytes()
    for size in (0, 1, 7, 8, 20, len(whole) // 2, len(whole) - 1):
        (folder / "model.safetensors").write_bytes(whole[:size])
        evaluation_refused(folder, "model.safetensors")


def test_header_beyond_the_file_and_not_json():
    folder = model_copy("bad")
    header, data = tensors(folder)
    for size in (1 << 40, (1 << 64) - 1, 10**6):
        write_tensors(folder, header, data, size=size)
        evaluation_refused(folder, "model.safetensors")
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 5) + b"{abc}" + data)
    evaluation_refused(folder, "model.safetensors")


def test_offsets_outside_and_overlapping():
    folder = model_copy("bad")
    header, data = tensors(folder)
    names = [n for n in header if n != "__metadata__"]
    first, second = sorted(names, key=lambda n: header[n]["data_offsets"])[:2]
    broken = json.loads(json.dumps(header))
    span = broken[first]["data_offsets"]
    broken[first]["data_offsets"] = [len(data), len(data) + span[1] - span[0]]
    write_tensors(folder, broken, data)
    evaluation_refused(folder, "model.safetensors")
    broken = json.loads(json.dumps(header))
    size = broken[second]["data_offsets"][1] - broken[second]["data_offsets"][0]
    start = broken[first]["data_offsets"][0]
    broken[second]["data_offsets"] = [start, start + size]
    write_tensors(folder, broken, data)
    evaluation_refused(folder, "model.safetensors")
    broken = json.loads(json.dumps(header))
    broken[first]["data_offsets"].reverse()
    write_tensors(folder, broken, data)
    evaluation_refused(folder, "model.safetensors")


def test_wrong_dtype_shape_and_missing_tensors():
    folder = model_copy("bad")
    header, data = tensors(folder)
    name = "classifier.weight"
    for change in ({"dtype": "I32"}, {"dtype": "X9"}, {"shape": [3, 3]}, {"shape": "big"}, {"shape": [header[name]["shape"][1], header[name]["shape"][0]]}):
        broken = json.loads(json.dumps(header))
        broken[name].update(change)
        write_tensors(folder, broken, data)
        evaluation_refused(folder, [name])
    missing = "bert.encoder.layer.1.output.dense.weight"
    write_tensors(folder, *without(header, data, missing))
    evaluation_refused(folder, "encoder.layer.1.output.dense.weight")
    os.unlink(folder / "model.safetensors")
    evaluation_refused(folder, "model.safetensors")


def test_config_json():
    folder = model_copy("bad")
    config = json.loads((folder / "config.json").read_text())
    cases = [({"hidden_size": "16"}, "hidden_size"), ({"hidden_size": 17}, "hidden_size"), ({"model_type": "gpt9"}, "gpt9"),
             ({"num_hidden_layers": None}, "num_hidden_layers"), ({"num_attention_heads": 0}, "num_attention_heads"),
             ({"layer_norm_eps": "small"}, "layer_norm_eps"), ({"hidden_act": "swish"}, "swish"), ({"id2label": [1, 2]}, "id2label"),
             ({"vocab_size": -4}, "vocab_size"), ({"hidden_dropout_prob": 2.0}, "hidden_dropout_prob"),
             ({"intermediate_size": 1e300}, "intermediate_size")]
    for change, says in cases:
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        evaluation_refused(folder, ["config.json", says])
    (folder / "config.json").write_text('{"model_type": "bert",\n  oops}')
    evaluation_refused(folder, "config.json:2:")
    os.unlink(folder / "config.json")
    evaluation_refused(folder, "config.json")


def test_vocabulary():
    folder = model_copy("bad")
    vocab = (folder / "vocab.txt").read_text()
    (folder / "vocab.txt").write_text(vocab + "oslo\n")
    evaluation_refused(folder, "vocab.txt:")
    (folder / "vocab.txt").write_text(vocab.replace("[UNK]\n", ""))
    evaluation_refused(folder, "[UNK]")
    (folder / "vocab.txt").write_bytes(vocab.encode() + b"\xff\xfe\n")
    evaluation_refused(folder, "vocab.txt:")
    (folder / "vocab.txt").write_text("")
    evaluation_refused(folder, "vocab.txt")
    (folder / "vocab.txt").write_text(vocab + "".join(f"more{i}\n" for i in range(100)))
    evaluation_refused(folder, "embedding table")


def conll(text, says, name="bad.conll"):
    data = text if isinstance(text, bytes) else text.encode()
    (world / name).write_bytes(data)
    refused("eval", "--model", "tuned", "--data", name, says=[name, says])


def test_conll_files():
    conll("oslo B-LOC\nlima X B-LOC\n", ":2")
    conll("oslo B-LOC\nlima\n", ":2")
    conll("oslo B-LOC\nlima B-LOX\n", ":2:")
    conll("oslo B-LOC\nlima LOC\n", ":2:")
    conll(b"oslo B-LOC\nli\xffma O\n", ":2:")
    conll("", "bad.conll")
    conll("-DOCSTART- O\n\n\n", "bad.conll")
    refused("eval", "--model", "tuned", "--data", "absent.conll", says="absent.conll")


def test_a_seed_that_nothing_is_drawn_with():
    one = ["neurons", "--model", "tiny-bert", "--tokens", "tokens.txt", "--labels", "labels.txt", "--positive", "SEM:named_entity:location"]
    for method in ("probeless", "gaussian"):
        refused(*one, "--method", method, "--seed", "7", says=["--seed", f"{method} draws nothing", "random and linear_probe"])
    assert relearn(*one, "--method", "random", "--seed", "7").stdout != relearn(*one, "--method", "random", "--seed", "8").stdout


def neurons(says, tokens="tokens.txt", labels="labels.txt", positive="SEM:named_entity:location"):
    refused("neurons", "--model", "tiny-bert", "--tokens", tokens, "--labels", labels, "--positive", positive, "--csv", says=says)


def test_concept_files():
    (world / "short.txt").write_text("N/A N/A\n" * 60)
    neurons(["short.txt:1", "5"], labels="short.txt")
    (world / "few.txt").write_text("N/A N/A SEM:named_entity:location N/A N/A\n" * 59)
    neurons("few.txt", labels="few.txt")
    neurons("SEM:named_entity:location", positive="SEM:named_entity:locations")
    (world / "latin.txt").write_bytes((world / "tokens.txt").read_bytes().replace(b"oslo", b"osl\xf8", 1))
    neurons("latin.txt:", tokens="latin.txt")


def sweep(old, new, says):
    text = (world / "sweep.yaml").read_text()
    assert old in text
    (world / "bad.yaml").write_text(text.replace(old, new))
    line = refused("run", "bad.yaml", "--out", "bad-out", says=says)
    assert not (world / "bad-out").exists()
    return line


def test_sweep_files():
    sweep("train: {epochs", "trian: {epochs", ["bad.yaml:10:1:", "train"])
    sweep("epochs: 2", "epoch: 2", ["bad.yaml:10:9:", "epochs"])
    sweep("epochs: 2", "epochs: two", "bad.yaml:10:17:")
    sweep("epochs: 2", "epochs: 0", "bad.yaml:10:17:")
    sweep("ratio: 0.5", "ratio: 1.5", "bad.yaml:11:")
    sweep("[concept, random]", "[concept, rnadom]", ["bad.yaml:9:", "random"])
    sweep("[concept, random]", "[]", "bad.yaml:9:")
    sweep("[concept, random]", "[random, random]", "bad.yaml:9:")
    sweep("  seed: 0..1\n", "  seed: 0..1\n  seed: 2\n", "bad.yaml:8:")
    sweep("train.conll", "absent.conll", ["bad.yaml:2:", "absent.conll"])
    sweep("[tiny-bert]", "[no-such-model]", ["bad.yaml:6:", "no-such-model"])
    sweep("concept: [location]", "concept: [locatoin]", ["bad.yaml:8:", "location"])
    sweep("sweep: tiny", "sweep: [tiny", "bad.yaml:")
    refused("run", "absent.yaml", says="absent.yaml")
    refused("run", "sweep.yaml", "--set", "train.epoch=3", says="train.epochs")
    refused("run", "sweep.yaml", "--filter", "sed==0", says="seed")
    refused("run", "sweep.yaml", "--filter", "seed==99", says="seed==99")
    refused("run", "bad.yaml", ranks=2, says="bad.yaml")


def test_faults_in_data_stop_a_sweep_before_it_computes():
    good = (world / "validation.conll").read_text()
    (world / "validation.conll").write_text(good + "oslo B-LOX\n")
    refused("run", "sweep.yaml", "--out", "bad-out", says="validation.conll:")
    refused("run", "sweep.yaml", "--out", "bad-out", says="validation.conll:", ranks=2)
    (world / "validation.conll").write_text(good)
    assert not (world / "bad-out").exists()


def test_unwritable_output():
    refused("run", "sweep.yaml", "--out", "/proc/relearn", says="/proc/relearn")
    refused("finetune", "--model", "tiny-bert", *TUNE, "--out", "/proc/relearn", says="/proc/relearn")
    (world / "file").write_text("in the way")
    refused("run", "sweep.yaml", "--out", "file", says="file")


def test_usage():
    refused("run", says="an argument is missing")
    refused("run", "sweep.yaml", "more", says="one argument too many")
    refused("run", "sweep.yaml", "--ou", "x", says="--out")
    refused("plan", "sweep.yaml", "--ranks", "0", says="--ranks")
    refused("plan", "sweep.yaml", "--ranks", "4294967297", says="--ranks")
    refused("run", "sweep.yaml", "--out", "", says="the value of --out is empty")
    refused("run", "sweep.yaml", "--out=", says="the value of --out is empty")
    refused("status", "", says="an argument is empty")
    refused("run", "sweep.yaml", says="srun started 3 processes", env={"SLURM_STEP_NUM_TASKS": "3"})
    refused("run", "sweep.yaml", says=["MPICH's mpiexec or srun started 3 processes", "relearn doctor"], env={"PMI_SIZE": "3"})
    refused("run", "sweep.yaml", says="Open MPI's mpirun started 3 processes", env={"OMPI_COMM_WORLD_SIZE": "3"})
    relearn("run", "sweep.yaml", "--dry-run", env={"PMI_SIZE": "1", "SLURM_STEP_NUM_TASKS": "3"})  # one rank was asked for
    refused("eval", "--model", "tuned", says="--data is missing")
    refused("eval", "--model", "tiny-bert", "--data", "validation.conll", says="tiny-bert")


def test_a_fifo_is_refused_wherever_a_file_is_read():
    """None is waited for: opening one without a writer blocks."""
    os.mkfifo(world / "fifo")
    shutil.rmtree(world / "piped", ignore_errors=True)
    relearn("run", "sweep.yaml", "--out", "piped", "--set", "seed=0")
    for name in ("journal.jsonl", "sweep.yaml", "lock", "results.h5"):
        (world / "piped" / name).rename(world / "aside")
        os.mkfifo(world / "piped" / name)
        relearn("status", "piped", code=2 if name == "journal.jsonl" else 0, timeout=20)
        relearn("plan", "sweep.yaml", "--out", "piped", code=2 if name == "journal.jsonl" else 0, timeout=20)
        (world / "aside").rename(world / "piped" / name)
    refused("run", "fifo", says="fifo: is not a regular file", timeout=20)
    refused("eval", "--model", "tuned", "--data", "fifo", says="fifo: is not a regular file", timeout=20)
    for old, new in (("train.conll", "fifo"), ("tokens.txt", "fifo"), ("{tokens: tokens.txt", "{words: fifo, tokens: tokens.txt")):
        sweep(old, new, "bad.yaml:")


def test_help_and_doctor_of_what_is_not_there():
    refused("help", "rnu", says="unknown command 'rnu'; did you mean 'run'?")
    refused("a\nb", says="unknown command 'a b'")
    for folder in ("nowhere", "sweep.yaml"):
        refused("doctor", "--directory", folder, says=f"--directory: {folder} is no folder that this user may write into")


def test_a_words_file_has_its_line():
    (world / "long.txt").write_text("oslo\n\n" + "a " * 65 + "\n")
    text = (world / "sweep.yaml").read_text()
    (world / "bad.yaml").write_text(text.replace("{tokens: tokens.txt, labels: labels.txt, positive: [\"SEM:named_entity:location\"]}", "{words: long.txt}"))
    refused("run", "bad.yaml", "--out", "bad-out", says=["long.txt:3:129: ", "more than 64 words", "one entry a line was expected"])


def test_nothing_was_damaged():
    relearn("eval", "--model", "tuned", "--data", "validation.conll", "--json")
    assert not (world / "bad-out").exists()


run_tests(globals())
