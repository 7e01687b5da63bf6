# SPDX-License-Identifier: Apache-2.0
"""Fills the results table of the README from what the last demo, bench and synthesis wrote."""

import json
import re
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
        table.extend(row for row in old if re.fullmatch(command, row[2].strip("`")))

    if demo := _load("demo/result.json"):
        table += [(f"{demo['env']} on the simulated chip, seed {demo['seed']}",
                   f"mean return {demo['mean_return_100']:.0f} over 100 episodes after {demo['env_steps']:,} environment steps, "
                   f"{demo['weight_version']:,} weight versions, {demo['chip_cycles'] / 1e6:.1f} M cycles, "
                   f"array utilization {demo['array_utilization']:.0%}", f"make demo SEED={demo['seed']}")]
    else:
        keep("make demo.*")
    if gemm := _load("bench/gemm.json"):
        table += _products(gemm["rows"])
    if bench := _load("bench/chip.json"):
        for row in bench["rows"]:
            if "cycles" in row:
                table.append((row["name"], f"{row['cycles']:,} cycles; ideal {row['ideal_cycles']:,.0f} (one k-step of the array a cycle): "
                              f"{row['utilization']:.0%}", "make bench"))
            else:
                table.append((row["name"], f"{row['cycles_per_second'] / 1e3:,.0f} k cycles/s, {row['ratio_to_cocotb']:.0f} times the "
                              "same program in the cocotb chip bench", "make bench"))
    if beside := _load("bench/torch.json"):
        for row in beside["rows"]:
            threads = f"{row['torch_threads']} thread{'s' if row['torch_threads'] > 1 else ''}"
            table.append((f"{row['name']}, beside PyTorch {row['torch']}",
                          f"{row['cycles']:,} cycles of {row['lanes']} lanes (simulated): {row['us']:,.1f} us at {row['clock_mhz']:g} MHz, "
                          f"the clock of `{row['board']}`, without link and host; PyTorch eager, "
                          f"float32, {threads} of this {beside['meta']['machine']} processor: {row['torch_us']:,.0f} us", "make bench"))
    if engines := _load("bench/two_engines.json"):
        table.append(_requests(engines["rows"]))
    if not (gemm or bench or engines):
        keep("make bench")
    if training := _load("bench/training.json"):
        commit, now, before = training["commit"][:7], training["chip_cycles_now"] / 1e6, training["chip_cycles_before"] / 1e6
        table.append(("wall-clock of the demonstration's training, each state with its own default settings",
                      f"{training['ratio']:.0%} of that of commit {commit}, {now:.1f} M cycles instead of {before:.1f} M",
                      f"make bench AGAINST={commit}"))
    else:
        keep("make bench AGAINST=.*")
    if synth := _load("synth/lanes8.json"):
        has = synth["meta"]["has"]
        used = {row["unit"]: row for row in synth["rows"]}
        names = {key: key.replace("_", " ").replace("ffs", "flip-flops").replace("luts", "LUTs") for key in has}
        rest = used["chip"]["luts"] - used["update"]["luts"]
        table.append(("ECP5 resources, Lanes = 8", ", ".join(f"{used['chip'][key]:,} of {has[key]:,} {name}" for key, name in names.items())
                      + f" (85k part); without the optimizers' unit {rest:,} LUTs ({rest / has['luts']:.1%})", "make synth"))
    else:
        keep("make synth")
    return table


def _requests(rows: list[dict]) -> tuple[str, str, str]:
    """One line for all policies of the arbiter."""
    figures = ", ".join(f"{row['policy'].replace('_', ' ')} {row['p50_cycles']:,} / {row['p99_cycles']:,}" for row in rows)
    first = next(row for row in rows if row["policy"] == "priority")
    return (f"{rows[0]['name'].split(',')[0]}, latency p50 / p99 by arbiter policy",
            f"{figures} cycles; alone {first['own_cycles']:,}, with the longest piece {first['bound_cycles']:,}; pieces alone lengthen the "
            f"update by {first['cutting_cycles'] / (first['update_cycles'] - first['cutting_cycles']):.1%}", "make bench")


def _products(rows: list[dict]) -> list[tuple[str, str, str]]:
    """One line for each shape, its forms side by side, then the rest."""
    lines: dict[tuple, list[dict]] = {}
    for row in rows:
        lines.setdefault((row["precision"], row["m"], row["k"], row["n"]) if row["m"] and "outside" not in row["name"] else
                         (row["name"],), []).append(row)
    table = []
    for key, group in lines.items():
        ideal = group[0]["ideal_cycles"]
        if len(key) > 1:
            precision, m, k, n = key
            what = f"{precision} product {m}x{k}x{n}, {' / '.join(row['form'] for row in group)}"
            figure = f"{' / '.join(format(row['cycles'], ',') for row in group)} cycles; ideal {ideal:,.0f}"
            if group[0]["scale_sim_cycles"]:
                figure += f", SCALE-Sim 3.0 {group[0]['scale_sim_cycles']:,}"
        else:
            what, figure = group[0]["name"], f"{group[0]['cycles']:,} cycles; ideal {ideal:,.0f}"
        worst = min(row["utilization"] for row in group)
        table.append((what, f"{figure}: {worst:.1%}{' at least' if len(group) > 1 else ''}", "make bench"))
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
