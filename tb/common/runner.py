# SPDX-License-Identifier: Apache-2.0
"""Builds a DUT with Verilator, runs a cocotb bench on it and demands that tests ran and none failed.

    run("lathe_fifo", "tb.fifo.bench", parameters={"Depth": 3})

Sources are found by themselves: the files of rtl/ and tb/ that define what the DUT names, packages first.
A build is kept under build/tb/<dut>-<key> and reused while sources, parameters and tools stay the same.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config as cocotb_config
import find_libpython

from scripts import toolchain

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "tb"
OPTIONS = ["--cc", "--exe", "--vpi", "-Wall", "--timescale", "1ns/1ps", "--x-initial", "unique", "--x-assign", "unique",
           "--prefix", "Vtop", "-O3", "--output-split", "0"]  # one C++ file: the headers cost more than the model
WAIVERS = Path(__file__).parent / "bench.vlt"
WALL_TIMEOUT = 900  # seconds of one simulation
LOG_TAIL = 60       # lines of the log in a failure's message


class BenchFailed(AssertionError):
    """The bench did not pass: a test failed, none ran, or the simulator died."""


class BuildFailed(RuntimeError):
    """The DUT did not build (lint warnings count); never a reason for a negative test to pass."""


@dataclass
class Results:
    """What a passed run did."""

    tests: list[str] = field(default_factory=list)
    seed: int = 1
    log: Path = Path()
    folder: Path = Path()


def run(dut: str, test_module: str, sources: list[str] | None = None, parameters: dict | None = None,
        seed: int | None = None, plusargs: Iterable[str] = (), mutate: tuple[str, str, str] | None = None,
        testcase: str | None = None, waves: bool | None = None, extra_env: dict | None = None,
        defines: dict | None = None, public_depth: int = 1) -> Results:
    """Build `dut` and run the cocotb tests of `test_module` on it.

    `sources`: files relative to the repository (default: found from `dut`). `mutate = (file, old, new)`: replaces `old`,
    which must occur exactly once in `file`, in a copy. `testcase`: regular expression of test names.
    `public_depth`: levels of hierarchy that the bench can look into (1: the DUT's own signals; simulation slows with it).
    `waves`: write a VCD into the run's folder (default: environment variable WAVES).
    Raises BenchFailed if no test ran or any failed, BuildFailed if it does not build.
    """
    seed = int(os.environ.get("SEED", "1")) if seed is None else seed
    waves = os.environ.get("WAVES", "0") not in ("", "0") if waves is None else waves
    folder = build(dut, sources, parameters, mutate, waves, defines, public_depth)
    name = re.sub(r"[^\w.-]", "_", f"{test_module}.{testcase or 'all'}.{seed}")
    work = folder / "run" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    results, log = work / "results.xml", work / "run.log"
    env = toolchain.environment()
    env.update({
        "COCOTB_TOPLEVEL": dut,
        "COCOTB_TEST_MODULES": test_module,
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_RANDOM_SEED": str(seed),
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "COCOTB_ANSI_OUTPUT": "0",
        "TOPLEVEL_LANG": "verilog",
        "PYGPI_PYTHON_BIN": shutil.which("python", path=env["PATH"]) or "python3",
        "GPI_USERS": f"{find_libpython.find_libpython()};{cocotb_config.pygpi_entry_point()}",
        **{key: str(value) for key, value in (extra_env or {}).items()},
    })
    if testcase:
        env["COCOTB_TEST_FILTER"] = testcase
    command = [str(folder / "sim"), *(["--trace"] if waves else []), "+verilator+rand+reset+2",
               f"+verilator+seed+{seed % 2**31 or 1}", *plusargs]
    with log.open("w") as out:
        try:
            code = subprocess.run(command, cwd=work, env=env, stdout=out, stderr=subprocess.STDOUT,
                                  timeout=WALL_TIMEOUT, check=False).returncode
        except subprocess.TimeoutExpired:
            code = f"no end within {WALL_TIMEOUT} s"
    return _judge(dut, test_module, seed, results, log, code)


def build(dut: str, sources: list[str] | None = None, parameters: dict | None = None,
          mutate: tuple[str, str, str] | None = None, waves: bool = False, defines: dict | None = None,
          public_depth: int = 1) -> Path:
    """Build the simulator of `dut` and return its folder (see `run`)."""
    toolchain.require("verilator", "g++", "make", "perl")
    files = [ROOT / name for name in sources] if sources else find_sources(dut)
    if mutate:
        _check_mutation(files, *mutate)
    waivers = [WAIVERS, *sorted({w for f in files for w in f.parent.glob("*.vlt")})]
    options = [*OPTIONS, "--top-module", dut, "--public-depth", str(public_depth), *(["--trace"] if waves else []),
               *(f"-G{name}={value}" for name, value in sorted((parameters or {}).items())),
               *(f"-D{name}={value}" for name, value in sorted((defines or {}).items()))]
    # Other sources, another folder: a worker that builds them would take the simulator away from one that runs it.
    state = hashlib.sha256(repr([options, mutate, sources, version("verilator"), version("cocotb")]).encode())
    if mutate:
        options.append("-Wno-fatal")  # a planted error may well leave something unused
    folder = BUILD / f"{dut}-{state.hexdigest()[:10]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several pytest workers may ask for the same build
        for file in [*files, *waivers]:
            state.update(file.read_bytes())
        stamp = folder / "stamp"
        if stamp.exists() and stamp.read_text() == state.hexdigest() and (folder / "sim").exists():
            return folder
        stamp.unlink(missing_ok=True)
        (folder / "sim").unlink(missing_ok=True)
        if mutate:
            files = [_mutated(file, folder, mutate) for file in files]
        cpp = cocotb_config.share_dir / "lib" / "verilator" / "verilator.cpp"
        link = f"-Wl,-rpath,{cocotb_config.libs_dir} -L{cocotb_config.libs_dir} -lcocotbvpi_verilator"
        _step(["verilator", *options, "-Mdir", str(folder / "obj"), "-o", "../sim", "-LDFLAGS", link,
               *map(str, waivers), *map(str, files), str(cpp)], folder / "verilate.log", dut)
        _step(["make", "-C", str(folder / "obj"), "-f", "Vtop.mk", f"VM_TRACE={int(waves)}",
               "OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1"], folder / "make.log", dut)
        stamp.write_text(state.hexdigest())
    return folder


def _check_mutation(files: list[Path], name: str, old: str, _new: str) -> None:
    if ROOT / name not in files:
        raise ValueError(f"mutation: {name} is not a source of this build")
    count = (ROOT / name).read_text().count(old)
    if count != 1:
        raise ValueError(f"mutation of {name}: {old!r} occurs {count} times, must be once")


def _mutated(file: Path, folder: Path, mutate: tuple[str, str, str]) -> Path:
    name, old, new = mutate
    if file != ROOT / name:
        return file
    copy = folder / "mutated" / file.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(file.read_text().replace(old, new))
    return copy


def _step(command: list[str], log: Path, dut: str) -> None:
    with log.open("w") as out:
        code = subprocess.run(command, env=toolchain.environment(), stdout=out, stderr=subprocess.STDOUT,
                              check=False).returncode
    if code:
        raise BuildFailed(f"{dut}: '{Path(command[0]).name}' failed\n{_tail(log)}")


def _tail(log: Path, lines: int = LOG_TAIL) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def _judge(dut: str, test_module: str, seed: int, results: Path, log: Path, code: object) -> Results:
    problem, cases = None, []
    if not results.exists():
        problem = f"the simulator died (exit {code})"
    else:
        cases = list(ElementTree.parse(results).getroot().iter("testcase"))
        ran = [c for c in cases if c.find("skipped") is None]
        failed = [c.get("name") for c in cases if c.find("failure") is not None or c.find("error") is not None]
        if not ran:
            problem = "no tests ran"
        elif failed:
            problem = f"failed: {', '.join(failed)}"
        elif code != 0:
            problem = f"the simulator ended with {code}"
    if problem:
        raise BenchFailed(f"{dut} with {test_module}, SEED={seed}: {problem}\nlog: {log}\n{_tail(log)}")
    return Results([c.get("name") for c in cases], seed, log, log.parent)


# Sources: which file defines a module or package, and which names a file uses.

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_DEFINED = re.compile(r"^\s*(?:module|package|interface)\s+(?:automatic\s+)?(\w+)", re.MULTILINE)


@cache
def _scan(file: Path, stamp: float) -> tuple[frozenset, frozenset]:  # stamp: only to notice a changed file
    text = _COMMENT.sub(" ", file.read_text())
    return frozenset(_DEFINED.findall(text)), frozenset(re.findall(r"[A-Za-z_]\w*", text))


def find_sources(dut: str) -> list[Path]:
    """Files that `dut` needs, each after those that it depends on (so packages come first)."""
    files = [*(ROOT / "rtl").rglob("*.sv"), *(ROOT / "tb").rglob("*.sv")]
    scans = {file: _scan(file, file.stat().st_mtime) for file in files}
    home = {name: file for file, (defined, _) in scans.items() for name in defined}
    if dut not in home:
        raise BuildFailed(f"no file under rtl/ or tb/ defines module '{dut}'")
    order: list[Path] = []
    entered: set[Path] = set()

    def enter(file: Path) -> None:
        if file in entered:
            return
        entered.add(file)
        for name in sorted(scans[file][1] & home.keys()):
            enter(home[name])
        order.append(file)

    enter(home[dut])
    return order
