"""The quick sweep's files and the real MiniLM, a few steps a stage: the same bits with 1 process and with 3 ranks."""
import json
import pathlib
import sys

from cli_support import options, relearn, run_tests, shards, world

source = pathlib.Path(__file__).resolve().parents[2]
if not (source / "models/minilm/model.safetensors").exists():
    print("SKIPPED: models/minilm is not there; ./quickstart gets it")
    sys.exit(77)
SHORT = ["--set", "seed=0", "--set", "train.epochs=1", "--set", "train.max_steps=12", "--set", "retrain.rounds=1"]


def test_bits_are_the_same_on_1_and_3_ranks():
    for ranks in (0, 3):
        relearn("run", source / "sweeps/quick/quick.yaml", "--out", f"minilm{ranks}", *SHORT, ranks=ranks, timeout=900)
    assert len(shards("minilm0")) == 2 and shards("minilm0") == shards("minilm3")


def test_every_neuron_has_a_rank_and_pruned_ones_are_counted():
    state = json.loads(relearn("status", "minilm3", "--json").stdout)
    assert state["done"] == 2, state
    relearn("export", "minilm3", state["runs"][0]["id"], "pruned", "--csv", world / "pruned.csv")
    ranks = sorted(int(line.split(",")[3]) for line in (world / "pruned.csv").read_text().splitlines()[1:])
    assert ranks == list(range(7 * 384))


run_tests(globals())
