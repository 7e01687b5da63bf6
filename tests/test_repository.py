# SPDX-License-Identifier: Apache-2.0
"""The repository itself: generated files, a bench for every module, licenses, links, nothing left over."""

import importlib
import re
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from tb.common.runner import find_sources

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {".py", ".sv", ".cpp", ".h", ".hpp", ".rdl", ".vlt"}
BENCHES = sorted((ROOT / "tb").glob("*/test_*.py"))


@cache
def tracked() -> tuple[Path, ...]:
    """Files under version control (of an unpacked archive: all that can be)."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        grown = {".venv", "build", "__pycache__", ".pytest_cache", ".ruff_cache"}
        files = [path for path in ROOT.rglob("*") if not any(part in grown or part.endswith(".egg-info") for part in path.parts)]
    return tuple(path for path in files if path.is_file())


@cache
def text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:  # a picture
        return ""


def found(pattern: str) -> list[str]:
    """file:line of each match in the tracked files."""
    return [f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for path in tracked() for number, line in enumerate(text(path).splitlines(), 1) if re.search(pattern, line)]


def test_generated_files_are_fresh():
    done = subprocess.run([sys.executable, "scripts/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_has_a_bench_below_the_whole_chip():
    duts = {dut for bench in BENCHES for dut in re.findall(r"\brun\(\s*\"(\w+)\"", text(bench))} - {"lathe"}
    assert duts, "no bench names its DUT"
    benched = {path for dut in duts for path in find_sources(dut)}
    modules = {path for path in (ROOT / "rtl").rglob("*.sv") if re.search(r"^module\s", text(path), re.MULTILINE)}
    wholes = {ROOT / "rtl/lathe.sv", ROOT / "rtl/board/lathe_board.sv"}  # tb/chip, tests/test_board.py
    missing = sorted(str(path.relative_to(ROOT)) for path in modules - benched - wholes)
    assert not missing, f"only the chip's bench has {missing}"


@pytest.mark.parametrize("bench", BENCHES, ids=lambda path: path.parent.name)
def test_every_bench_plants_an_error(bench):
    assert "pytest.raises(BenchFailed" in text(bench) and "mutate=" in text(bench)


class _Planted(Exception):
    """In place of a run with a planted error."""


def test_planted_errors_still_have_their_place(monkeypatch):
    """`make test` runs only the first one of each bench; of all the line that is changed must be there, once."""
    checked, wrong = 0, []

    def run(*_, mutate=None, **__):
        if mutate:
            name, old, _ = mutate
            if (count := (ROOT / name).read_text().count(old)) != 1:
                wrong.append(f"{name}: {old!r} occurs {count} times")
        raise _Planted

    for path in sorted((ROOT / "tb").glob("*/test_*.py")):
        module = importlib.import_module(f"tb.{path.parent.name}.{path.stem}")
        monkeypatch.setattr(module, "run", run)
        for function in [value for name, value in vars(module).items() if name.startswith("test_") and "planted_error" in name]:
            cases = [mark.args[:2] for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"] or [("", [()])]
            assert len(cases) == 1, function
            names, values = cases[0]
            names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
            for value in values:
                value = getattr(value, "values", value)
                value = value if isinstance(value, tuple) else (value,)
                with suppress(_Planted):
                    function(**dict(zip(filter(None, names), value, strict=True)))
                checked += 1
    assert checked > 150 and not wrong, "\n".join(wrong)


def test_sources_have_a_license():
    without = [str(path.relative_to(ROOT)) for path in tracked()
               if path.suffix in SOURCES and text(path) and "SPDX-License-Identifier: Apache-2.0" not in text(path)[:400]]
    assert not without


@pytest.mark.parametrize("pattern", [
    r"\b(TO[D]O|FIX[M]E|X[X]X)\b",
    r"(?<![\w.*)}])[/](work|root|home|tmp|mnt|Users)\b",                 # paths of one machine
    r"py[p]i\.org|python[h]osted|index[-]url|npm[j]s|proxy\.go[l]ang|crates\.i[o]",  # registries
], ids=["notes", "paths", "hosts"])
def test_nothing_left_over(pattern):
    assert not found(pattern)


def test_links_in_the_documents_lead_somewhere():
    broken, links = [], 0
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "rtl/prim/README.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", text(document) if document.exists() else ""):
            if re.match(r"[a-z]+:|#", target):
                continue
            links += 1
            if not (document.parent / target.split("#")[0]).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert not broken and links
