# SPDX-License-Identifier: Apache-2.0
"""Fills the results table of the README from what the last demo, bench and synthesis wrote."""

import json
import sys

from sources import ROOT

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def _load(name: str) -> dict | None:
    path = ROOT / "build" / name
    return json.loads(path.read_text()) if path.exists() else None


def rows(old: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return (what, figure, command); what has not been run keeps its `old` rows."""
    table = []

    def keep(command: str) -> None:
        table.extend(row for row in old if row[2].strip("`").startswith(command))

    if demo := _load("demo/result.json"):
        table += [(f"{demo['env']} on the simulated chip, seed {demo['seed']}",
                   f"mean return {demo['mean_return_100']:.0f} over 100 episodes after {demo['env_steps']:,} environment steps, "
                   f"{demo['weight_version']:,} weight versions, {demo['chip_cycles'] / 1e6:.1f} M cycles, "
                   f"array utilization {demo['array_utilization']:.0%}", f"make demo SEED={demo['seed']}")]
    else:
        keep("make demo")
    if bench := _load("bench/chip.json"):
        for row in bench["rows"]:
            if "cycles" in row:
                table.append((row["name"], f"{row['cycles']:,} cycles; ideal {row['ideal_cycles']:,.0f} (one k-step of the array a cycle): "
                              f"{row['utilization']:.0%}", "make bench"))
            else:
                table.append((row["name"], f"{row['cycles_per_second'] / 1e3:,.0f} k cycles/s, {row['ratio_to_cocotb']:.0f} times the "
                              "same program in the cocotb chip bench", "make bench"))
    else:
        keep("make bench")
    if synth := _load("synth/lanes8.json"):
        has = synth["meta"]["has"]
        for row in synth["rows"]:
            if row["unit"] == "chip":
                table.append(("ECP5 resources, Lanes = 8", ", ".join(
                    f"{row[key]:,} of {has[key]:,} {key.replace('_', ' ').replace('ffs', 'flip-flops').replace('luts', 'LUTs')}"
                    for key in has) + " (85k part)", "make synth"))
    else:
        keep("make synth")
    return table


def main() -> int:
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    old = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.strip().splitlines()[2:]]
    lines = ["| what | figure | command |", "| --- | --- | --- |", *(f"| {a} | {b} | `{c.strip('`')}` |" for a, b, c in rows(old))]
    readme.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
