"""The other commands, with the output formats of design §2 that tools outside the repository read."""
import csv
import io
import json
import re
import shutil

from cli_support import options, refused, relearn, run_tests, world


def test_help_and_version():
    assert re.match(r"relearn \d+\.\d+\.\d+", relearn("--version").stdout)
    listing = relearn("--help").stdout
    for command in "run plan simulate nightly status show gather export finetune eval neurons doctor".split():
        assert f"\n  {command} " in listing, command
        text = relearn(command, "--help").stdout
        assert text.startswith(f"relearn {command} "), text
    relearn(code=2)
    refused("runn", says="did you mean 'run'")


def test_finetune_writes_a_folder_and_every_step():
    relearn("finetune", "--model", "tiny-bert", "--train", "train.conll", "--validation", "validation.conll", "--out", "tuned",
            "--seed", "3", "--set", "train.epochs=3", "--set", "train.learning_rate=5e-3")
    config = json.loads((world / "tuned/config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert config["id2label"]["0"] == "O" and config["label2id"]["B-PER"] == 1
    assert "relearn_random_init" not in config
    steps = [json.loads(line) for line in (world / "tuned/training.jsonl").read_text().splitlines()]
    assert [s["step"] for s in steps] == list(range(1, 25))
    assert set(steps[0]) == {"step", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "seconds"}
    assert steps[0]["epoch"] == 0 and steps[-1]["epoch"] == 2
    assert abs(steps[0]["learning_rate"] - 5e-3) < 1e-12 and abs(steps[-1]["learning_rate"] - 5e-3 / 24) < 1e-9
    assert (world / "tuned/vocab.txt").exists() and not (world / "tuned/checkpoint").exists()
    refused("finetune", "--model", "tiny-bert", "--train", "train.conll", "--validation", "validation.conll", "--out", "tuned",
            says="already holds a model")


def test_finetune_is_deterministic():
    for out in ("det1", "det2"):
        relearn("finetune", "--model", "tiny-bert", "--train", "train.conll", "--validation", "validation.conll", "--out", out)
    assert (world / "det1/model.safetensors").read_bytes() == (world / "det2/model.safetensors").read_bytes()
    relearn("finetune", "--model", "tiny-bert", "--train", "train.conll", "--validation", "validation.conll", "--out", "det3",
            "--seed", "7")
    assert (world / "det1/model.safetensors").read_bytes() != (world / "det3/model.safetensors").read_bytes()


def test_max_steps_ends_early_and_keeps_the_schedule():
    relearn("finetune", "--model", "tiny-bert", "--train", "train.conll", "--validation", "validation.conll", "--out", "short",
            "--set", "train.max_steps=5", "--set", "train.dropout=0", "--set", "train.shuffle=false")
    steps = [json.loads(line) for line in (world / "short/training.jsonl").read_text().splitlines()]
    assert len(steps) == 5 and abs(steps[4]["learning_rate"] - 2e-5 * 20 / 24) < 1e-12


def test_eval_json():
    scores = json.loads(relearn("eval", "--model", "tuned", "--data", "validation.conll", "--json").stdout)
    assert {"precision", "recall", "f1", "accuracy", "types", "subword", "tokens_per_second"} <= set(scores)
    assert scores["f1"] > 0.9 and set(scores["types"]["LOC"]) == {"precision", "recall", "f1", "support"}
    relearn("eval", "--model", "tuned", "--data", "validation.conll")


def test_neurons_csv():
    text = relearn("neurons", "--model", "tiny-bert", "--tokens", "tokens.txt", "--labels", "labels.txt", "--positive",
                   "SEM:named_entity:location", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["neuron", "layer", "unit", "rank", "score", "saliency", "top_words"], rows[0]
    assert len(rows) == 48 and [int(r["rank"]) for r in rows] == list(range(48))
    assert sorted(int(r["neuron"]) for r in rows) == list(range(48))
    assert all(int(r["layer"]) * 16 + int(r["unit"]) == int(r["neuron"]) for r in rows)
    scores = [float(r["score"]) for r in rows]
    assert scores == sorted(scores, reverse=True)
    best = relearn("neurons", "--model", "tuned", "--tokens", "tokens.txt", "--labels", "labels.txt", "--positive",
                   "SEM:named_entity:location", "--top", "3", "--csv").stdout
    assert len(best.splitlines()) == 4


def test_show_status_export_on_a_sweep():
    relearn("run", "sweep.yaml", "--out", "dir", ranks=2)
    table = relearn("show", "dir").stdout
    assert "Entity F1" in table and "concept" in table and "random" in table and "\033" not in table
    state = json.loads(relearn("status", "dir", "--json").stdout)
    run = state["runs"][0]["id"]
    assert state["planned"] == 4 and state["alive"] is False
    one = relearn("show", "dir", run[:6]).stdout
    assert "retrained_2" in one and "Most salient neurons" in one
    relearn("export", "dir", run, "retrained_1", "--to", "exported", "--csv", "table.csv")
    scores = json.loads(relearn("eval", "--model", "exported", "--data", "validation.conll", "--json").stdout)
    assert f"{scores['f1']:.4f}" in one
    assert len((world / "table.csv").read_text().splitlines()) == 49
    refused("export", "dir", run, "retraned_1", "--to", "x", says="the nearest is 'retrained_1'")
    refused("export", "dir", "zzz", "base", "--to", "x", says="no run's id starts with 'zzz'")
    refused("show", "nowhere", says="no sweep was ever started")


def test_neurons_takes_no_option_that_it_would_ignore():
    corpus = ("neurons", "--model", "tuned", "--tokens", "tokens.txt", "--labels", "labels.txt", "--positive", "SEM:named_entity:location")
    refused(*corpus, "--data", "validation.conll", says="--data: is used by --method ablation alone, not by probeless")
    refused(*corpus, "--method", "iou", "--type", "LOC", says="--type: is used by --method ablation alone, not by iou")
    refused(*corpus, "--text", "tokens.txt", says="is shown by --html FILE alone")
    refused(*corpus, "--html", "page.html", says="--html needs --text FILE")
    refused(*corpus, "--top-words", "2000000000", says="--top-words: '2000000000' is more than 64")
    assert not (world / "page.html").exists()


def test_show_averages_over_seeds_only():
    """Every axis but the seed makes a line of its own, models of one name in two folders too."""
    shutil.copytree(world / "tiny-bert", world / "else/tiny-bert")
    config = json.loads((world / "else/tiny-bert/config.json").read_text())
    (world / "else/tiny-bert/config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-9}))
    relearn("run", "sweep.yaml", "--out", "axes", "--set", "data.limit=[30,40]", "--set", "prune.select=none", "--set",
            "model=[tiny-bert,else/tiny-bert]", "--set", "retrain.rounds=0")
    table = relearn("show", "axes").stdout
    lines = table.split("over seeds\n")[1].split("\n\n")[0].splitlines()
    assert "data.limit" in lines[0] and "model" in lines[0] and "prune.select" not in lines[0], lines
    assert len(lines) == 1 + 4 and all(line.split()[2] == "2" for line in lines[1:]), lines
    assert sum("else/tiny-bert" in line for line in lines) == 2, lines
    victim = sorted((world / "axes/runs").glob("*.h5"))[0]
    victim.write_bytes(victim.read_bytes()[:-100])
    table = relearn("show", "axes").stdout
    assert "1 shard cannot be read and is left out: " in table and victim.name in table and "Entity F1" in table, table


def test_doctor_json():
    found = json.loads(relearn("doctor", "--json").stdout)
    assert found["fma_peak_gflops"] > 0 and found["hdf5"]["parallel"] is True and found["hdf5"]["round_trip"] is True
    assert sum(entry["chosen"] for entry in found["gemm"]) == 1 and all(entry["gflops"] > 0 for entry in found["gemm"])
    relearn("doctor", ranks=2)


run_tests(globals())
