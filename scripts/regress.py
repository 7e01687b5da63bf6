# SPDX-License-Identifier: Apache-2.0
"""Long runs: every bench with many seeds, the tests marked 'regress', and the back ends side by side."""

import argparse
import os
import subprocess
import sys

from sources import ROOT


def run(title: str, command: list[str], **variables: str) -> bool:
    print(f"== {title}", flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds, from 1")
    seeds = range(1, parser.parse_args().seeds + 1)
    if not seeds:
        parser.error("--seeds (SEEDS=n) is a whole number from 1")
    pytest = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup"]
    failed = []
    if not run("tests, long ones included", [*pytest, "-m", "regress or not regress"], SEED="1"):
        failed.append("tests")
    for seed in seeds:
        if seed > 1 and not run(f"benches, seed {seed}", [*pytest, "tb", "-m", "regress or not regress", "-k", "not planted_error"],
                                SEED=str(seed)):
            failed.append(f"benches with SEED={seed}")
        if not run(f"back ends side by side, seed {seed}",
                   ["lathe", "verify", "--backends", "golden,verilator", "--updates", "20", "--seed", str(seed)]):
            failed.append(f"lathe verify --seed {seed}")
    print("all passed" if not failed else "failed: " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
