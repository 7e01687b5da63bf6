# SPDX-License-Identifier: Apache-2.0
"""The RTL file list: packages in order of use, then the modules by name."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RTL = ROOT / "rtl"
PACKAGES = [  # those that others use; a unit's own package follows
    "ctrl/lathe_desc_pkg.sv",
    "ctrl/lathe_pkg.sv",
    "prim/lathe_num_pkg.sv",
    "prim/lathe_tables_pkg.sv",
    "ctrl/gen/lathe_csr_reg_pkg.sv",
]


def rtl_sources() -> list[Path]:
    """Return every RTL file in an order that any tool can compile."""
    packages = [RTL / name for name in PACKAGES]
    others = sorted(path for path in RTL.rglob("*.sv") if path not in packages)
    return packages + sorted(others, key=lambda path: not path.stem.endswith("_pkg"))


def waivers() -> list[Path]:
    """Return Verilator's waiver files: each names one generated file and says why."""
    return sorted(RTL.rglob("*.vlt"))


if __name__ == "__main__":
    print("\n".join(str(path) for path in rtl_sources()))
