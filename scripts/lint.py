# SPDX-License-Identifier: Apache-2.0
"""Static checks: two SystemVerilog front ends, generated files, Python style."""

import subprocess
import sys

from sources import ROOT, rtl_sources, waivers

LANES = (4, 8, 16)


def run(title: str, command: list[str]) -> bool:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {title}", flush=True)
    if done.returncode:
        print((done.stdout + done.stderr)[-8000:])
    return done.returncode == 0


def slang(lanes: int) -> bool:
    """Elaborate with slang and report its diagnostics; any error or warning fails."""
    import pyslang

    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    generated = ROOT / "rtl/ctrl/gen/..."  # not our style to judge
    names = " ".join(str(path) for path in rtl_sources())
    options = f"--top lathe_board -GLanes={lanes} -Werror --suppress-warnings {generated}"
    ok = driver.parseCommandLine(f"slang {options} {names}") and driver.processOptions()
    ok = ok and driver.parseAllSources() and driver.runFullCompilation(quiet=True)
    print(f"{'ok  ' if ok else 'FAIL'} slang, Lanes = {lanes}", flush=True)
    return bool(ok)


def main() -> int:
    files = [str(path) for path in [*waivers(), *rtl_sources()]]
    ok = run("generated files are fresh", [sys.executable, "scripts/generate.py", "--check"])
    ok &= run("ruff", [sys.executable, "-m", "ruff", "check", "--quiet", "."])
    for lanes in LANES:
        ok &= run(f"verilator -Wall, Lanes = {lanes}",
                  ["verilator", "--lint-only", "-Wall", "--no-timing", "--top-module", "lathe_board", f"-GLanes={lanes}", *files])
        ok &= slang(lanes)
    fpga = [str(path) for path in [ROOT / "fpga/fpga.vlt", *sorted((ROOT / "fpga").glob("*/*.*v"))]]
    ok &= run("verilator -Wall, the board's top and the cells' models",
              ["verilator", "--lint-only", "-Wall", "--no-timing", "--top-module", "lathe_ulx3s", *fpga, *files])
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
