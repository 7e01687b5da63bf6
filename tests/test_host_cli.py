# SPDX-License-Identifier: Apache-2.0
"""The command line: what it writes, and one clear line for every mistake."""

import json
import re

import pytest

import lathe.backends.golden as golden
from lathe import MismatchError
from lathe.cli import main
from lathe.settings import Settings
from lathe.verify import verify

SHORT = ["--environments", "8", "--rollout", "16", "--minibatch", "128", "--epochs", "2"]
REQUIRED = {"backend", "env", "seed", "env_steps", "mean_return_100", "wall_s", "train_wall_s", "chip_cycles",
            "array_utilization", "weight_version", "saturations"}


def test_train_writes_result_and_curve(tmp_path, capsys):
    assert main(["train", *SHORT, "--steps", "1000", "--seed", "3", "--out", str(tmp_path / "run")]) == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result.keys() >= REQUIRED
    assert (result["backend"], result["env"], result["seed"], result["env_steps"]) == ("golden", "CartPole-v1", 3, 896)
    assert result["weight_version"] == 14 and result["mean_return_100"] > 8
    assert (tmp_path / "run/learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "mean return" in capsys.readouterr().out


def test_train_with_a_stale_sampler(tmp_path, capsys):
    """Alert levels are named once each, and the logged return stands beside the learner's own."""
    assert main(["train", *SHORT, "--sampler", "int8", "--publication-lag", "3", "--learning-rate", "0.5", "--steps", "1024",
                 "--evaluate-every", "4", "--evaluation-episodes", "8", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    lines = [line for line in text.splitlines() if "published alert level" in line]
    assert len(lines) == len({line.split(": ")[1].split(" is ")[0] for line in lines}) > 0
    assert re.match(r"after [\d,]+ steps the sampler is far from the learner: ", lines[0])
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["sampler"], result["publication_lag"], result["correction"]) == ("int8", 3, "ppo")
    assert [row["env_steps"] for row in result["evaluations"]] == [512, 1024]
    assert all(row["true_return"] >= 8 for row in result["evaluations"]) and result["mismatch"]["effective_sample_size"] < 1


def test_a_missed_target_is_a_failure(tmp_path, capsys):
    assert main(["train", *SHORT, "--steps", "128", "--target", "475", "--out", str(tmp_path)]) == 1
    assert re.search(r"target of 475 was not reached within 128 steps; it counts over 100 episodes, and \d episodes? ended",
                     capsys.readouterr().err)


def test_a_run_in_which_no_episode_ends(tmp_path, capsys):
    assert main(["train", "--env", "Acrobot-v1", *SHORT, "--steps", "128", "--target", "-90", "--out", str(tmp_path)]) == 1
    text = capsys.readouterr()
    assert "seed 1: no episode ended after 128 steps" in text.out and "over 100 episodes, and 0 episodes ended" in text.err


@pytest.mark.parametrize("arguments,message", [
    (["train", "--env", "CartPol-v1"], "unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'"),
    (["train", "--env", "Pendulum-v1"], "continuous"),
    (["train", "--publication-lag", "8"], "publication_lag is 8, but the learner always acts with its current weights"),
    (["train", "--backend", "gold"], "unknown back end 'gold'; choose one of: golden, verilator"),
    (["train", "--hidden", "512,512"], "needs 201990 scratchpad words and 8192 of 8192 are free"),
    (["train", "--lanes", "5"], "4, 8 or 16 lanes, not 5"),
    (["train", "--minibatch", "100"], "does not divide"),
    (["train", "--steps", "500"], "steps is 500, fewer than one rollout of environments x rollout = 1024"),
    (["verify", "--backends", "golden,foo"], "unknown back end 'foo'"),
    (["verify", "--backends", "golden"], "names fewer than two"),
    (["verify", "--backends", "golden, golden"], "names a back end twice"),
    (["verify", "--updates", "0"], "must be at least 1"),
    (["train", "--env", "nothing of the kind"], "unknown environment 'nothing of the kind'; choose for example one of: "),
    (["train", "--reward-scale", "inf"], "reward_scale is inf and must be a finite number"),
    (["train", "--hidden", "512,512"], "(--banks, up to 64)"),
    (["train", "--memory-bytes", "1000"], "a multiple of 256 from 4096 to 2**32 (--memory-bytes)"),
    (["train", "--port", "/dev/ttyUSB0"], "port is set, but back end 'golden' takes no options; leave it out"),
])
def test_mistakes_end_with_one_line_and_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("lathe: error: ") and message in error
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["train", *SHORT, "--steps", "128", "--out", str(tmp_path / "file/run")]) == 2
    assert "lathe: error: " in capsys.readouterr().err


def test_info(capsys):
    assert main(["info", "--programs"]) == 0
    text = capsys.readouterr().out
    assert "8 lanes, 8 banks, 8192 scratchpad words" in text and "'minibatch update'" in text and "loss" in text


def test_verify_of_equal_back_ends(capsys, monkeypatch):
    monkeypatch.setattr("lathe.backends.BACKENDS", dict.fromkeys(("golden", "twin"), ("golden", "GoldenBackend")))
    assert main(["verify", "--backends", "golden, twin", "--updates", "3", "--seed", "2"]) == 0
    assert "agree in every bit, seed 2: 3 updates" in capsys.readouterr().out


class Planted(golden.GoldenBackend):
    """A golden model with one fault, put in after a number of programs."""

    plant = staticmethod(lambda chip: None)

    def __init__(self, lanes, banks, memory, seed):
        super().__init__(lanes, banks, memory, seed)
        self.runs = 0

    def run(self, max_cycles=None):
        super().run(max_cycles)
        self.runs += 1
        if self.runs == 60:  # every program is followed by the one that brings the scratchpad out
            type(self).plant(self)


def flip_weight(chip):
    chip.scratchpad[chip.weights.first_word(chip.weights.slot) + 20, 3] ^= 1


def flip_memory(chip):
    chip.memory[5] ^= 1


def flip_exponent(chip):
    chip.exponent_file.host_write(2, 5)


def flip_statistic(chip):
    chip.stats.count += 1


@pytest.mark.parametrize("plant,message", [
    (flip_weight, r"'(W1|b1|W2|mW1|mb1)' \d+ x \d+ in slot \d, row \d+, lane 3"), (flip_memory, "outside memory at byte 0x5"),
    (flip_exponent, "exponent register 2 .* of 'rollout"), (flip_statistic, "statistic count is"),
], ids=["weight", "memory", "exponent", "statistic"])
def test_verify_names_a_planted_difference(plant, message, monkeypatch):
    monkeypatch.setattr("lathe.backends.BACKENDS", {"golden": ("golden", "GoldenBackend"), "planted": ("golden", "Planted")})
    monkeypatch.setattr(golden, "Planted", Planted, raising=False)
    monkeypatch.setattr(Planted, "plant", staticmethod(plant))
    with pytest.raises(MismatchError, match=message):
        verify(["golden", "planted"], 3, Settings(rollout=16))


@pytest.mark.parametrize("option, path", [("--out", "file/run"), ("--save", "file/run.safetensors")])
def test_where_nothing_can_be_written_nothing_is_trained(tmp_path, capsys, option, path):
    (tmp_path / "file").write_text("")
    assert main(["train", *SHORT, "--steps", "1000000", "--out", str(tmp_path / "run"), option, str(tmp_path / path)]) == 2
    assert "nothing can be written to the folder" in capsys.readouterr().err


def test_a_timeline_is_no_picture(tmp_path, capsys):
    assert main(["trace", "--out", str(tmp_path / "x.png")]) == 2
    assert main(["trace", "--out", ""]) == 2 and main(["trace", "--out", str(tmp_path)]) == 2
    assert "take" in capsys.readouterr().err


def test_a_line_that_is_too_slow(capsys):
    assert main(["board-sim", "ulx3s-25f", "--clocks-per-bit", "100000000"]) == 2
    assert "at most 83333 make 300 baud" in capsys.readouterr().err
