# SPDX-License-Identifier: Apache-2.0
"""Compiles the RTL into a shared library, once for each configuration and state of the sources."""

import fcntl
import hashlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
# Warnings fail in `make lint` and in every bench; here another version's new warning must not stop a user's training.
VERILATOR_FLAGS = ["--cc", "-O3", "--x-assign", "fast", "--x-initial", "unique", "--no-assert", "--no-timing",
                   "-Wno-fatal", "--output-split", "200000", "+define+LATHE_IN_PROCESS"]
# The last two, and -Bsymbolic: calls within the library are direct, so that the compiler may inline them.
COMPILER_FLAGS = ["-O3", "-fPIC", "-march=native", "-std=gnu++20", "-fno-semantic-interposition", "-fvisibility-inlines-hidden"]
LINKER_FLAGS = ["-shared", "-pthread", "-Wl,-Bsymbolic"]


class BuildError(RuntimeError):
    """The chip could not be compiled; the message names the log and the first errors."""


def _scripts():
    if not (ROOT / "rtl").is_dir():
        raise BuildError(f"simulation compiles the RTL of a source checkout, and there is no rtl/ in {ROOT}; "
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


def compile_model(top: str, folder: Path, compiler: list[str], env: dict, log: Path, *flags: str) -> None:
    """Compile what Verilator left in `folder`/obj, with these variables of its makefile."""
    _run(["make", "-C", "obj", "-f", f"V{top}.mk", "-j", "2", *flags, f"CXX={shlex.join(compiler)}", f"libV{top}.a", "libverilated.a"],
         env, log, folder)


def link(top: str, harness: str, folder: Path, compiler: list[str], env: dict, log: Path) -> Path:
    """Make the shared library of the harness and what `compile_model` left in `folder`/obj; returns it."""
    root = subprocess.run(["verilator", "--getenv", "VERILATOR_ROOT"], env=env, capture_output=True, text=True, check=True).stdout.strip()
    cache = ["ccache"] if "OBJCACHE" in env else []
    _run([*cache, *compiler, *COMPILER_FLAGS, "-Iobj", f"-I{root}/include", f"-I{root}/include/vltstd", "-c",
          str(Path("../../..") / (HERE / harness).relative_to(ROOT)), "-o", "sim.o"], env, log, folder)
    library = folder / f"lib{top}.so"
    new = folder / f"{library.name}.new"
    _run([*compiler, "-o", new.name, "sim.o", f"obj/libV{top}.a", "obj/libverilated.a", *LINKER_FLAGS], env, log, folder)
    return new.rename(library)


def build(lanes: int, banks: int) -> Path:
    """Return the shared library of the chip with this many lanes and banks; see `build_top`."""
    return build_top("lathe", "sim.cpp", f"lanes{lanes}_banks{banks}", f"{lanes} lanes and {banks} banks", Lanes=lanes, Banks=banks)


def build_top(top: str, harness: str, folder_name: str, description: str, **parameters: int) -> Path:
    """Return the shared library of a top module and the C++ around it, compiling it when needed.

    Parameters
    ----------
    top, harness : str
        Module, and file in this folder.
    folder_name, description : str
        Its folder in build/sim, and what it is for the user.
    parameters : int
        Of the module.

    Raises
    ------
    BuildError
        When a tool is missing (the message says how to install it) or fails (the message names the log).
    """
    rtl, toolchain = _scripts()
    flags = (VERILATOR_FLAGS, COMPILER_FLAGS, LINKER_FLAGS)
    digest = hashlib.sha256(repr((top, parameters, flags, toolchain.compiler_version())).encode())
    for path in [*rtl, HERE / harness]:
        digest.update(path.read_bytes())
    folder = toolchain.BUILD / "sim" / folder_name
    folder.mkdir(parents=True, exist_ok=True)
    library, stamp = folder / f"lib{top}.so", folder / "digest"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if library.exists() and stamp.exists() and stamp.read_text() == digest.hexdigest():
            return library
        compiler = toolchain.compiler()
        try:
            toolchain.require(compiler[0], "make", "perl", "verilator")
        except toolchain.ToolMissing as error:
            raise BuildError(f"simulation needs a compiler, g++ or the one that CXX names: {error}; or use --backend golden") from None
        stamp.unlink(missing_ok=True)
        log = folder / "build.log"
        log.write_text("")
        shutil.rmtree(folder / "obj", ignore_errors=True)  # of another compiler, perhaps
        print(f"lathe: compiling the simulator for {description}, once, about a minute or two; log {log}", file=sys.stderr, flush=True)
        env = toolchain.environment()
        # Paths relative to the build folder, so that the compiler cache serves every clone.
        relative = [str(Path("../../..") / path.relative_to(ROOT)) for path in rtl]
        generics = [f"-G{name}={value}" for name, value in parameters.items()]
        _run(["verilator", *VERILATOR_FLAGS, "--top-module", top, "--prefix", f"V{top}", *generics, "-Mdir", "obj",
              "-CFLAGS", " ".join(COMPILER_FLAGS), *relative], env, log, folder)
        compile_model(top, folder, compiler, env, log, "OPT_FAST=-O3", "OPT_SLOW=-O1", "OPT_GLOBAL=-O2")
        link(top, harness, folder, compiler, env, log)
        stamp.write_text(digest.hexdigest())
    return library
