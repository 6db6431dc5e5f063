"""What onlookers see of a living sweep: JSON, Prometheus' text format by its grammar, and the full-screen view on terminals of all kinds."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

from cli_support import options, relearn, run_tests, world

LONG = [options.program, "run", "sweep.yaml", "--out", "lives", "--set", "train.epochs=4000"]
ESCAPE = re.compile(r"\033\[[0-9;?]*[A-Za-z]")


def start():
    """A sweep that lives until it is told to stop."""
    shutil.rmtree(world / "lives", ignore_errors=True)
    sweep = subprocess.Popen(LONG, cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.time() + 60
    while not (world / "lives/progress.json").exists():
        assert sweep.poll() is None and time.time() < end, sweep.stderr.read()
        time.sleep(0.05)
    return sweep


def stop(sweep):
    sweep.send_signal(signal.SIGTERM)
    assert sweep.wait(60) == 75


def parse_prometheus(text):
    """The text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats), refusing whatever a scraper would: {(name, labels): value}."""
    assert text.endswith("\n") and "\r" not in text and "\t" not in text, "the last line has no end"
    families, helped, samples, current = {}, set(), {}, None
    for line in text[:-1].split("\n"):
        assert line == line.strip() and line, f"blank or padded: {line!r}"
        if line.startswith("#"):
            mark, kind, name, rest = line.split(" ", 3)
            assert mark == "#" and kind in ("HELP", "TYPE") and re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name), line
            if kind == "HELP":
                assert name not in helped, f"a second HELP: {line}"
                assert re.fullmatch(r"(?:[^\\]|\\[\\n])*", rest), line
                helped.add(name)
            else:
                assert name not in families and rest in ("counter", "gauge", "histogram", "summary", "untyped"), line
                families[name] = rest
            current = name
            continue
        found = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)', line)
        assert found, f"no sample: {line!r}"
        name, labels, value = found.group(1), found.group(2) or "", found.group(3)
        pairs = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', labels)
        assert len({key for key, _ in pairs}) == len(pairs), f"a label twice: {line}"
        assert name == current and name in families and name in helped, f"{name} is not below its own HELP and TYPE"
        key = (name, tuple(sorted(pairs)))
        assert key not in samples, f"a series twice: {line}"
        samples[key] = float(value)
        assert families[name] != "counter" or name.endswith("_total") and samples[key] >= 0, line
    return samples


def test_the_parser_refuses():
    good = '# HELP a_total b\n# TYPE a_total counter\na_total{x="1"} 2\n'
    assert parse_prometheus(good) == {("a_total", (("x", "1"),)): 2.0}
    for bad in (good[:-1], good + good, good + 'a_total{x="1"} 3\n', good + "b 1\n", good.replace("{x", "{x-"), good.replace(" 2", " two"),
                good.replace("a_total", "a"), good.replace('"1"', '"1\\q"'), "\n" + good):
        try:
            parse_prometheus(bad)
        except (AssertionError, ValueError):
            continue
        raise AssertionError(f"taken: {bad!r}")


def test_json_while_it_runs():
    sweep = start()
    end = time.time() + 30
    while True:
        state = json.loads(relearn("status", "lives", "--json").stdout)
        if state["live"] and state["running"] and state["live"]["workers"][0]["tokens_per_second"]:
            break
        assert sweep.poll() is None and time.time() < end, state
        time.sleep(0.2)
    assert state["alive"] is True and state["planned"] == 4 and state["done"] == 0 and state["failed"] == 0, state
    assert state["running"] + state["waiting"] == 4 and len(state["runs"]) == 4
    assert {run["state"] for run in state["runs"]} <= {"running", "waiting"}
    worker = state["live"]["workers"][0]
    assert worker["rank"] == 0 and "finetune" in worker["task"] and worker["seconds"] >= 0 and worker["predicted_s"] > 0, worker
    assert state["stages_done"] == 0 and state["eta_s"] > 0, "before the first stage ends the forecast is all there is, and it is told"
    assert state["stages_done"] < state["stages_total"] and state["elapsed_s"] > 0 and state["updated"].endswith("Z"), state
    samples = parse_prometheus((world / "lives/metrics.prom").read_text())
    of = {name: value for (name, labels), value in samples.items() if len(labels) == 2}
    assert of["relearn_finished"] == 0 and of["relearn_workers"] == 1 and of["relearn_disk_free_bytes"] > 0, of
    assert sum(value for (name, _), value in samples.items() if name == "relearn_runs") == 4, samples
    stop(sweep)
    state = json.loads(relearn("status", "lives", "--json").stdout)
    assert state["alive"] is False and state["live"] is None and state["running"] == 0, state
    samples = parse_prometheus((world / "lives/metrics.prom").read_text())
    assert [value for (name, _), value in samples.items() if name == "relearn_finished"] == [1.0]


def test_two_folders_of_one_sweep_are_two_series():
    """node_exporter drops all it has collected where two files say the same series. The folder's name is a label, so it is escaped."""
    for name in ("plain", 'qu"ote\\ back'):
        relearn("run", "sweep.yaml", "--out", name, "--filter", "seed==0")
    series = [parse_prometheus((world / name / "metrics.prom").read_text()) for name in ("plain", 'qu"ote\\ back')]
    assert not series[0].keys() & series[1].keys(), series
    shown = dict(next(labels for (_, labels) in series[1]))["directory"]
    assert shown == str((world / 'qu"ote\\ back').resolve()).replace("\\", "\\\\").replace('"', '\\"'), shown


def test_a_folder_whose_name_is_no_utf8():
    """JSON and Prometheus have no way to say such a name: it is shown in another way, no notice is lost, and no file is spoilt."""
    name = os.fsdecode(b"caf\xe9")
    relearn("run", "sweep.yaml", "--out", name, "--filter", "seed==0")
    with (world / name / "journal.jsonl").open("a") as journal:
        journal.write('{"torn')
    relearn("run", "sweep.yaml", "--out", name, "--filter", "seed==0")
    (_, labels), _ = next(iter(parse_prometheus((world / name / "metrics.prom").read_text(encoding="utf-8")).items()))
    assert dict(labels)["directory"].endswith(r"/caf\\xe9"), labels
    assert json.loads(relearn("stats", name, "--json").stdout)["results"] == "caf?/results.h5"
    state = json.loads(relearn("status", name, "--json").stdout)
    assert state["done"] == 2 and [notice["text"] for notice in state["notices"] if "caf?/journal.jsonl: 1 of its records" in notice["text"]], state


def look(columns, rows, **env):
    """What `status --watch` writes on a terminal of that size in its first moments, then Ctrl-C."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    settings = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES", "TERM")}
    process = subprocess.Popen([options.program, "status", "lives", "--watch"], cwd=world, stdin=follower, stdout=follower, stderr=follower,
                               env={**settings, "TERM": "xterm", **env})
    os.close(follower)
    seen, asked, end = b"", False, time.time() + 20
    while time.time() < end:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                seen += os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
        if not asked and (b"Ctrl-C leaves" in seen or b" runs, " in seen):
            process.send_signal(signal.SIGINT)
            asked = True
    os.close(leader)
    assert process.wait(20) == 0, seen
    return seen.decode()


def screen_of(text):
    """The lines of the first full screen, without escapes."""
    return [ESCAPE.sub("", line) for line in text.split("\033[H\033[2J")[1].split("\033[?1049l")[0].split("\033[H")[0].replace("\r", "").rstrip("\n").split("\n")]


def test_terminals_of_all_kinds():
    sweep = start()
    for columns, rows, env in ((120, 40, {}), (80, 24, {}), (40, 24, {}), (30, 14, {}), (0, 0, {"COLUMNS": "40", "LINES": "20"})):
        text = look(columns, rows, **env)
        lines = screen_of(text)
        wide, high = columns or 40, rows or 20
        assert all(len(line) <= wide for line in lines), (columns, [line for line in lines if len(line) > wide])
        assert len(lines) <= high, (rows, lines)
        assert "\033[1m" in text and text.startswith("\033[?1049h") and "\033[?1049l" in text, text
        assert any(line.startswith("runs ") for line in lines) and any("finetune" in line for line in lines), lines
    plain = look(100, 30, NO_COLOR="1")
    assert "\033[H" in plain and not re.search(r"\033\[[0-9;]*m", plain), "NO_COLOR takes colours away and nothing else"
    assert "\033[1m" in look(100, 30, NO_COLOR=""), "an empty NO_COLOR says nothing"
    dumb = look(40, 24, TERM="dumb")
    assert "\033" not in dumb and " runs, " in dumb, dumb
    stop(sweep)


def test_many_ranks_and_failures_fit_the_screen():
    """What is one line too long scrolls the first ones away: the sweep's name, its state and the bar."""
    stop(start())
    why = "training diverged: loss n\u00e4n, expected finite numbers " + "\u00e4" * 200
    (world / "lives/progress.json").write_text(json.dumps({
        "elapsed_s": 86000, "eta_s": 170000, "tokens_per_second": 1e7, "nodes_done": 1, "disk_free_bytes": 8e10,
        "failures": [{"task": f"finetune of run {i:012x}", "error": why} for i in range(10)],
        "workers": [{"rank": i + 1, "task": f"retrain 2 of run {i:012x}" if i % 9 else "idle", "seconds": 3599 if i % 9 else None,
                     "predicted_s": 4000 if i % 9 else None, "tokens_per_second": 1e6 if i % 9 else None} for i in range(63)]}))
    with (world / "lives/lock").open("w") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        for columns, rows in ((200, 50), (80, 24), (60, 16), (40, 12), (30, 8)):
            lines = screen_of(look(columns, rows))
            assert len(lines) <= rows and all(len(line) <= columns for line in lines), (columns, rows, lines)
            assert lines[0] == "tiny" and lines[2].startswith("[") and lines[-1].startswith("Ctrl-C"), lines
            assert rows < 12 or any("more, " in line and "of them idle" in line for line in lines), lines
            assert rows < 24 or sum("training diverged" in line for line in lines) == min(5, rows // 8), lines


run_tests(globals())
