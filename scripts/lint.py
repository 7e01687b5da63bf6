# SPDX-License-Identifier: Apache-2.0
"""Static checks: two SystemVerilog front ends, generated files, Python style."""

import subprocess
import sys

from sources import ROOT, rtl_sources, waivers

BUILDS = tuple({"Lanes": lanes} for lanes in (4, 8, 16)) + ({"Lanes": 8, "UpdateLanes": 2},)  # of the chip


def title(build: dict[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in build.items())


def run(what: str, command: list[str]) -> bool:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {what}", flush=True)
    if done.returncode:
        print((done.stdout + done.stderr)[-8000:])
    return done.returncode == 0


def slang(build: dict[str, int]) -> bool:
    """Elaborate with slang and report its diagnostics; any error or warning fails."""
    import pyslang

    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    generated = ROOT / "rtl/ctrl/gen/..."  # not our style to judge
    names = " ".join(str(path) for path in rtl_sources())
    values = " ".join(f"-G{name}={value}" for name, value in build.items())
    options = f"--top lathe_board {values} -Werror --suppress-warnings {generated}"
    ok = driver.parseCommandLine(f"slang {options} {names}") and driver.processOptions()
    ok = ok and driver.parseAllSources() and driver.runFullCompilation(quiet=True)
    print(f"{'ok  ' if ok else 'FAIL'} slang, {title(build)}", flush=True)
    return bool(ok)


def main() -> int:
    files = [str(path) for path in [*waivers(), *rtl_sources()]]
    ok = run("generated files are fresh", [sys.executable, "scripts/generate.py", "--check"])
    ok &= run("ruff", [sys.executable, "-m", "ruff", "check", "--quiet", "."])
    for build in BUILDS:
        values = [f"-G{name}={value}" for name, value in build.items()]
        ok &= run(f"verilator -Wall, {title(build)}",
                  ["verilator", "--lint-only", "-Wall", "--no-timing", "--top-module", "lathe_board", *values, *files])
        ok &= slang(build)
    fpga = [str(path) for path in [ROOT / "fpga/fpga.vlt", *sorted((ROOT / "fpga").glob("*/*.*v"))]]
    ok &= run("verilator -Wall, the board's top and the cells' models",
              ["verilator", "--lint-only", "-Wall", "--no-timing", "--top-module", "lathe_ulx3s", *fpga, *files])
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
