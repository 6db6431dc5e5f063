"""The engine around the runs: simulation, policies, failures that can be redone alone, observability."""
import json
import xml.etree.ElementTree

from cli_support import refused, relearn, run_tests, world


def test_simulate_prints_and_draws():
    text = relearn("simulate", "sweep.yaml", "--ranks", "3", "--svg", "gantt.svg").stdout
    for word in ("makespan", "efficiency", "messages", "coordinator", "3 ranks (2 working)"):
        assert word in text, text
    root = xml.etree.ElementTree.parse(world / "gantt.svg").getroot()
    assert root.tag.endswith("svg") and len(root.findall(".//{*}rect")) > 12
    found = json.loads(relearn("simulate", "sweep.yaml", "--ranks", "3", "--json").stdout)
    planned = json.loads(relearn("plan", "sweep.yaml", "--ranks", "3", "--json").stdout)
    assert found["num_runs"] == 4 and found["workers"] == 2 and found["num_nodes"] == planned["num_stages"] + 4
    assert found["bound_s"] <= found["makespan_s"] and 0 < found["efficiency"] <= 1
    assert found["messages"] >= 2 * found["num_nodes"]


def test_simulated_losses():
    calm = json.loads(relearn("simulate", "sweep.yaml", "--ranks", "9", "--set", "seed=0..49", "--json").stdout)
    rough = json.loads(relearn("simulate", "sweep.yaml", "--ranks", "9", "--set", "seed=0..49", "--kill-every", "2", "--restart", "1",
                               "--json").stdout)
    assert rough["kills"] > 0 and rough["lost_s"] > 0 and rough["makespan_s"] > calm["makespan_s"]
    refused("simulate", "sweep.yaml", "--ranks", "2", "--kill-every", "0.001", says="would never end")


def test_simulate_refuses_nonsense():
    refused("simulate", "sweep.yaml", says="--ranks is missing")
    refused("simulate", "sweep.yaml", "--ranks", "0", says="is not an integer >= 1")
    refused("simulate", "sweep.yaml", "--ranks", "4", "--kill-every", "often", says="--kill-every: 'often' is no number")
    refused("simulate", "sweep.yaml", "--ranks", "4", "--svg", "no/such/folder/g.svg", says="no/such/folder")


run_tests(globals())
