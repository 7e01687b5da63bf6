# SPDX-License-Identifier: Apache-2.0
"""Compiles the RTL into a shared library, once for each configuration and state of the sources."""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HARNESS = Path(__file__).with_name("sim.cpp")
# Warnings fail in `make lint` and in every bench; here another version's new warning must not stop a user's training.
VERILATOR_FLAGS = ["--cc", "-O3", "--x-assign", "fast", "--x-initial", "unique", "--no-assert", "--no-timing",
                   "-Wno-fatal", "--output-split", "200000", "+define+LATHE_IN_PROCESS", "--top-module", "lathe", "--prefix",
                   "Vlathe"]
# The last two, and -Bsymbolic: calls within the library are direct, so that the compiler may inline them.
COMPILER_FLAGS = ["-O3", "-fPIC", "-march=native", "-std=gnu++20", "-fno-semantic-interposition", "-fvisibility-inlines-hidden"]
LINKER_FLAGS = ["-shared", "-pthread", "-Wl,-Bsymbolic"]


class BuildError(RuntimeError):
    """The chip could not be compiled; the message names the log and the first errors."""


def _scripts():
    if not (ROOT / "rtl").is_dir():
        raise BuildError(f"the 'verilator' back end compiles the RTL of a source checkout, and there is no rtl/ in {ROOT}; "
                         "run from a clone, or use --backend golden")
    if str(ROOT / "scripts") not in sys.path:
        sys.path.insert(0, str(ROOT / "scripts"))
    import sources
    import toolchain

    return sources.rtl_sources(), toolchain


def _run(command: list[str], env: dict, log: Path, cwd: Path) -> None:
    with log.open("a") as out:
        out.write(f"$ {' '.join(command)}\n")
        out.flush()
        code = subprocess.run(command, env=env, cwd=cwd, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        errors = [line for line in log.read_text(errors="replace").splitlines() if "rror" in line][:5]
        raise BuildError(f"'{command[0]}' failed while compiling the chip; the log is {log}\n" + "\n".join(errors))


def link(folder: Path, env: dict, log: Path) -> None:
    """Make liblathe.so of the harness and what Verilator and the compiler left in `folder`/obj."""
    root = subprocess.run(["verilator", "--getenv", "VERILATOR_ROOT"], env=env, capture_output=True, text=True, check=True).stdout.strip()
    compiler = ["ccache", "g++"] if "OBJCACHE" in env else ["g++"]
    _run([*compiler, *COMPILER_FLAGS, "-Iobj", f"-I{root}/include", f"-I{root}/include/vltstd", "-c",
          str(Path("../../..") / HARNESS.relative_to(ROOT)), "-o", "sim.o"], env, log, folder)
    _run(["g++", "-o", "liblathe.so.new", "sim.o", "obj/libVlathe.a", "obj/libverilated.a", *LINKER_FLAGS], env, log, folder)
    (folder / "liblathe.so.new").rename(folder / "liblathe.so")


def build(lanes: int, banks: int) -> Path:
    """Return the shared library of the chip with this many lanes and banks, compiling it when needed.

    Raises
    ------
    BuildError
        When a tool is missing (the message says how to install it) or fails (the message names the log).
    """
    rtl, toolchain = _scripts()
    try:
        toolchain.require("g++", "make", "perl", "verilator")
    except toolchain.ToolMissing as error:
        raise BuildError(f"the 'verilator' back end needs a compiler: {error}; or use --backend golden") from None
    digest = hashlib.sha256(repr((lanes, banks, VERILATOR_FLAGS, COMPILER_FLAGS, LINKER_FLAGS)).encode())
    for path in [*rtl, HARNESS]:
        digest.update(path.read_bytes())
    folder = toolchain.BUILD / f"sim/lanes{lanes}_banks{banks}"
    folder.mkdir(parents=True, exist_ok=True)
    library, stamp = folder / "liblathe.so", folder / "digest"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if library.exists() and stamp.exists() and stamp.read_text() == digest.hexdigest():
            return library
        stamp.unlink(missing_ok=True)
        log = folder / "build.log"
        log.write_text("")
        print(f"lathe: compiling the simulator for {lanes} lanes and {banks} banks, once, about a minute or two; log {log}",
              file=sys.stderr, flush=True)
        env = toolchain.environment()
        # Paths relative to the build folder, so that the compiler cache serves every clone.
        relative = [str(Path("../../..") / path.relative_to(ROOT)) for path in rtl]
        _run(["verilator", *VERILATOR_FLAGS, f"-GLanes={lanes}", f"-GBanks={banks}", "-Mdir", "obj",
              "-CFLAGS", " ".join(COMPILER_FLAGS), *relative], env, log, folder)
        _run(["make", "-C", "obj", "-f", "Vlathe.mk", "-j", "2", "OPT_FAST=-O3", "OPT_SLOW=-O1", "OPT_GLOBAL=-O2",
              "libVlathe.a", "libverilated.a"], env, log, folder)
        link(folder, env, log)
        stamp.write_text(digest.hexdigest())
    return library
