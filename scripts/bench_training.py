# SPDX-License-Identifier: Apache-2.0
"""Wall-clock of the demonstration's training, this state of the sources against an older commit, in one run."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from sources import ROOT

BEFORE = ROOT / "build/before"
TRAINING = ("--env", "CartPole-v1", "--backend", "verilator", "--seed", "1", "--target", "475")
REPEATS = 2


def checkout(commit: str) -> str:
    """Put a commit into build/before; return its hash."""
    sha = subprocess.run(["git", "rev-parse", "--verify", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True, text=True)
    if sha.returncode:
        raise SystemExit(f"bench: {commit} names no commit of this repository")
    sha = sha.stdout.strip()
    if BEFORE.exists():
        subprocess.run(["git", "checkout", "--quiet", "--detach", "--force", sha], cwd=BEFORE, check=True)
    else:
        subprocess.run(["git", "worktree", "add", "--quiet", "--force", "--detach", str(BEFORE), sha], cwd=ROOT, check=True)
    return sha


def train(root: Path, out: Path, steps: int) -> dict:
    """Train once with the sources in `root`; return its result.json."""
    result = out / "result.json"
    result.unlink(missing_ok=True)
    # 0: reached; 1: a run too short for the target
    code = subprocess.run([sys.executable, "scripts/toolchain.py", sys.executable, "-m", "lathe.cli", "train", *TRAINING,
                           "--steps", str(steps), "--out", str(out)], cwd=root, check=False).returncode
    if code > 1 or not result.exists():
        raise SystemExit(f"bench: training with the sources in {root} ended with code {code}")
    return json.loads(result.read_text())


def compare(commit: str, out: Path) -> dict:
    """Train `REPEATS` times with both, alternating; write training.json into the folder `out`."""
    sha = checkout(commit)
    roots = {"before": BEFORE, "now": ROOT}
    for name, root in roots.items():  # compiles the chip
        train(root, out / f"training_{name}", 2048)
    seconds: dict[str, list[float]] = {name: [] for name in roots}
    last = {}
    for _ in range(REPEATS):
        for name, root in roots.items():
            last[name] = train(root, out / f"training_{name}", 150_000)
            seconds[name].append(last[name]["train_wall_s"])
    typical = {name: statistics.median(values) for name, values in seconds.items()}
    row = {"commit": sha, "seconds_before": seconds["before"], "seconds_now": seconds["now"],
           "ratio": typical["now"] / typical["before"],
           **{f"{key}_{name}": last[name][key] for name in roots for key in ("env_steps", "chip_cycles", "mean_return_100")}}
    (out / "training.json").write_text(json.dumps(row, indent=1) + "\n")
    return row
