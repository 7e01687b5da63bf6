# SPDX-License-Identifier: Apache-2.0
"""The hardware tools are found under their usual names, and a missing one is named with its remedy."""

import shutil

import pytest

from scripts import toolchain


@pytest.mark.parametrize("program", ["verilator", "ccache", "yosys", "yosys-smtbmc", "nextpnr-ecp5", "ecppack", "sby", "z3", "el_docker"])
def test_tools_are_on_the_path(program):
    assert shutil.which(program, path=toolchain.environment()["PATH"]), f"{program} is not found"


def test_compiler_flags_of_the_wheel_are_cured():
    assert "CFG_CXXFLAGS_PCH_I=-include" in toolchain.environment({})["MAKEFLAGS"]


def test_a_missing_tool_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program, path=None: None)
    with pytest.raises(toolchain.ToolMissing, match="'g\\+\\+' is not on this machine: install a C"):
        toolchain.require("g++")


@pytest.mark.parametrize(("named", "ziglang", "probe", "compiler"), [
    ("some-c++ -v", True, toolchain.PROBE, ["some-c++", "-v"]),  # the user's choice
    ("", True, toolchain.PROBE, ["lathe-clang++"]),
    ("", True, "#error", ["g++"]),  # that clang does not compile here
    ("", False, toolchain.PROBE, ["g++"]),
])
def test_the_compiler_of_simulators(monkeypatch, named, ziglang, probe, compiler):
    monkeypatch.setenv("CXX", named)
    monkeypatch.setattr(toolchain, "PROBE", probe)
    package = toolchain._package
    monkeypatch.setattr(toolchain, "_package", lambda name: package(name) if ziglang or name != "ziglang" else None)
    assert toolchain.compiler() == compiler
