# SPDX-License-Identifier: Apache-2.0
"""The mismatch experiment in a shortened form: resumable, the same on one process and on two, its table and pictures."""

import json

import numpy as np
import pytest

from lathe import SettingsError
from lathe.cli import main
from lathe.experiment import CORRECTIONS, LAGS, Run, differences, load, plan
from lathe.mismatch import marks, table, write

SHORT = ["experiment", "mismatch", "--seeds", "1", "--lags", "0,2", "--corrections", "none,bypass", "--steps", "2560"]
NAMES = {f"lag{lag}_{correction}_seed1.json" for lag in (0, 2) for correction in ("none", "bypass")}


def without_time(path) -> dict:
    return {name: value for name, value in json.loads(path.read_text()).items() if name != "wall_s"}


def test_the_plan_has_one_seed_of_everything_before_the_next():
    runs = plan(3)
    rows = len(LAGS) * len(CORRECTIONS)
    assert len(runs) == len(set(runs)) == 3 * rows == 60 and runs[0] == Run(8, "none", 1)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    for run in runs:
        settings = run.settings({})
        settings.check()
        assert (settings.publication_lag, settings.seed, settings.evaluate_every, settings.sampler) == (run.lag, run.seed, 39, "int8")


@pytest.mark.regress
def test_every_row_is_the_same_on_the_chip(tmp_path, capsys):
    """20,480 steps of one seed of all 20 rows, far beyond the longest lag, on both back ends."""
    rows = ["experiment", "mismatch", "--seeds", "1", "--steps", "20480", "--jobs", "2"]
    golden, chip = tmp_path / "golden", tmp_path / "chip"
    assert main([*rows, "--out", str(golden)]) == 0
    assert main([*rows, "--out", str(chip), "--backend", "verilator", "--same-as", str(golden)]) == 0
    assert "20 runs are the same in" in capsys.readouterr().out


def test_short_experiment(tmp_path, capsys):
    folder = tmp_path / "runs"
    assert main([*SHORT, "--out", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == NAMES
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"4 runs, 0 of them in {folder} already" and lines[4].startswith("4/4  lag2_bypass_seed1: return ")
    first = {name: without_time(folder / name) for name in NAMES}
    assert first["lag0_none_seed1.json"]["effective_sample_size"] > 0.999 > first["lag2_none_seed1.json"]["effective_sample_size"]
    assert all(run["env_steps"] == 2560 and len(run["evaluations"]) == 5 for run in first.values())

    (folder / "lag2_none_seed1.json").unlink()  # what is missing runs again, with the same result, in processes too
    kept = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main([*SHORT, "--out", str(folder), "--jobs", "2"]) == 0
    assert capsys.readouterr().out.startswith("4 runs, 3 of them in ")
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert {name: without_time(folder / name) for name in NAMES} == first

    other = tmp_path / "other"  # as another back end may leave it
    other.mkdir()
    changed = first["lag0_none_seed1.json"] | {"wall_s": 1.0}
    changed["settings"] = changed["settings"] | {"backend": "verilator"}
    (other / "lag0_none_seed1.json").write_text(json.dumps(changed))
    assert main([*SHORT, "--out", str(folder), "--same-as", str(other)]) == 0
    assert "1 runs are the same in" in capsys.readouterr().out
    (other / "lag0_none_seed1.json").write_text(json.dumps(changed | {"k3": 0.0}))
    assert main([*SHORT, "--out", str(folder), "--same-as", str(other)]) == 1
    assert main([*SHORT, "--out", str(folder), "--same-as", str(other / "nothing")]) == 2
    assert "lag0_none_seed1: k3 differ from those in" in capsys.readouterr().err
    assert differences(changed, changed | {"settings": changed["settings"] | {"clip": 0.3, "new": 1}}) == ["setting clip"]

    docs = tmp_path / "docs"
    docs.mkdir()
    begin, end = marks("int16")
    (docs / "mismatch.md").write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    assert main([*SHORT, "--out", str(folder), "--report", "--docs", str(docs)]) == 0
    text = (docs / "mismatch.md").read_text()
    assert text.startswith(f"before\n{begin}\n| lag |") and text.endswith(f"{end}\nafter\n") and "old" not in text
    assert text.count("\n| 0 | none | 1 |") == text.count("\n| 2 | bypass | 1 |") == 1
    pictures = {path: path.read_bytes() for path in docs.glob("*.svg")}
    assert {path.name for path in pictures} == {"mismatch.svg", "mismatch_truth.svg"}
    assert main([*SHORT, "--out", str(folder), "--report", "--docs", str(docs)]) == 0
    assert all(path.read_bytes() == content for path, content in pictures.items())

    assert [path.name for path in write(list(first.values()), docs, "int8")] == ["mismatch.md", "mismatch_int8.svg",
                                                                                 "mismatch_int8_truth.svg"]
    assert (docs / "mismatch.md").read_text().startswith(text) and marks("int8")[0] in (docs / "mismatch.md").read_text()

    assert main([*SHORT[:-1], "3072", "--out", str(folder)]) == 2
    assert "was made with steps = 2560, not 3072; choose another --out" in capsys.readouterr().err


def test_table_over_seeds():
    run = {"lag": 8, "correction": "tis", "curve_mean": 100.0, "true_return": None, "effective_sample_size": 0.5, "k3": 0.25,
           "clip_fraction": 0.1, "masked": 0.0}
    lines = table([run | {"seed": 2, "return_100": 300.0}, run | {"seed": 1, "return_100": 100.0}, run | {"correction": "none", "seed": 1,
                                                                                                     "return_100": None}])
    assert [line.split(" | ")[:4] for line in lines[2:]] == [["| 8", "none", "1", "-"], ["| 8", "tis", "2", "200 ± 141 (100 to 300)"]]
    assert np.std([100, 300], ddof=1) == pytest.approx(141.42, abs=0.01) and lines[3].split(" | ")[5] == "-"


@pytest.mark.parametrize("arguments,message", [
    (["--seeds", "0"], "seeds is 0 and must be at least 1"), (["--corrections", "tis,ppo"], "correction 'ppo' is not in this experiment"),
    (["--lags", "0,-2"], "must be numbers of iterations, at least 0"), (["--jobs", "0"], "jobs is 0"),
    (["--backend", "gold"], "unknown back end 'gold'"), (["--steps", "100"], "fewer than one rollout"),
    (["--report"], "run the command without --report first"),
])
def test_mistakes(arguments, message, tmp_path, capsys):
    assert main(["experiment", "mismatch", *arguments, "--out", str(tmp_path / "runs")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", '{"settings": {', "[]", "7", '{"settings": 7}', "{}"])
def test_a_file_that_is_no_run_is_refused(text, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match="run.json holds no figures of a run; delete it"):
        load(path, Run(2, "tis", 1), {})


def test_a_run_of_other_settings_is_refused(tmp_path):
    path, run = tmp_path / "run.json", Run(2, "tis", 1)
    assert load(path, run, {}) is None
    path.write_text(json.dumps({"settings": {"cap": 3.0}}))
    with pytest.raises(SettingsError, match="was made with cap = 3.0, not 2.0; choose another --out"):
        load(path, run, {})
