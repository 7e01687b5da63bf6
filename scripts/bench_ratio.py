# SPDX-License-Identifier: Apache-2.0
"""Rate of every correction and of the reverse scan, worst errors of the functions, and what the clip unit costs: ratio.json."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

SAMPLES, ACTIONS = 512, 2
CHUNK = 1 << 20


def _worst(function: Callable, exact: Callable, first: int, last: int, largest: float) -> dict[str, float]:
    """Return the worst errors of a function of one integer over a whole range, at LSB 2**-16.

    In units of the last place, everywhere and where the value is at most 1, and relative to it where it is 1 or more. Beyond
    `largest` the result saturates.
    """
    ulp = small = relative = 0.0
    for start in range(first, last, CHUNK):
        x = np.arange(start, min(start + CHUNK, last))
        wanted = np.minimum(exact(x), largest)
        error = np.abs(function(x) * 2.0**-16 - wanted)
        ulp = max(ulp, 65536 * error.max())
        small = max(small, 65536 * error[wanted <= 1].max(initial=0))
        relative = max(relative, (error[wanted >= 1] / wanted[wanted >= 1]).max(initial=0))
    return {"ulp": float(ulp), "ulp_up_to_1": float(small), "relative_from_1": float(relative)}


def errors() -> dict[str, dict[str, float]]:
    """Return the worst errors of exp, ln and the coefficient against float64, each over all its arguments.

    exp: 26 bits; ln: 65536 to 2**23; coefficient: every sum of two log-weights, 18 bits at LSB 2**-10.
    """
    from pymodels.functions import exp_q, ln_q

    top = (2**21 - 1) / 65536
    return {"exp": _worst(exp_q, lambda x: np.exp(x / 65536), -(1 << 25), 1 << 25, top),
            "ln": _worst(ln_q, lambda s: np.log(s / 65536), 1 << 16, 1 << 23, np.inf),
            "coefficient": _worst(lambda w: exp_q(w << 6), lambda w: np.exp(w / 1024), -(1 << 17), 1 << 17, top)}


def rates(open_device: Callable, lanes: int) -> list[dict]:
    """Measure LOSS, and MEASURE where a correction needs it, with every correction on the chip."""
    from lathe import Program
    from lathe.corrections import correction
    from tb.common.ratios import EXAMPLES

    rng, rows = np.random.default_rng(1), []
    with open_device(8) as device:
        layout = device.layout
        y, gradient = layout.tensor("y", SAMPLES, ACTIONS + 1, -12), layout.tensor("dy", SAMPLES, ACTIONS + 1)
        records, words = layout.records("records", SAMPLES), layout.records("words", SAMPLES)
        block = layout.block_for(records)
        device.load(y, rng.normal(0, 1, y.shape))
        block.data[:, :5] = rng.integers(-700, 1, (SAMPLES, 5))
        block.data[:, 5] = np.arange(SAMPLES) % 32 == 31
        fill, measure, tokens, sequences = (Program(name, layout) for name in ("records", "measure", "tokens", "sequences"))
        fill.load(records, block)
        measure.measure(y, records, words)
        tokens.loss(y, records, gradient, 8)
        sequences.loss(y, records, gradient, 8, sequences=words)
        device.run(fill)

        def cycles(program: Program) -> int:
            device.registers.write("CONTROL", perf_clear=1)
            device.run(program)
            return sum(device.registers.value(f"POLICY_{state}") for state in ("BUSY", "STALL_OPERAND", "STALL_RESULT", "OVERHEAD"))

        for name, parameters in EXAMPLES.items():
            made = correction(name, **parameters)
            made.write(device.registers)
            passes = [cycles(measure), cycles(sequences)] if made.sequences else [cycles(tokens)]
            rows.append({"name": name, "mode": "sequence" if made.sequences else "token", "lanes": lanes, "samples": SAMPLES,
                         "actions": ACTIONS, "passes": len(passes), "cycles": sum(passes), "loss_samples_per_cycle": SAMPLES / sum(passes)})
    return rows


def clip_unit(out: Path) -> dict[str, float]:
    """Return the samples a cycle that lathe_ratio_clip sustains with each correction, from its bench."""
    from tb.common.runner import run

    file = (out / "ratio_clip.json").resolve()  # the bench runs in a folder of its own
    file.unlink(missing_ok=True)
    run("lathe_ratio_clip", "tb.ratio_clip.bench", testcase="test_random", extra_env={"RATIO_OUT": file})
    return json.loads(file.read_text())


def cost() -> dict[str, int]:
    """Return LUTs and multipliers of lathe_ratio_clip mapped for ECP5."""
    import mapping

    top = "lathe_ratio_clip"
    synthesis = mapping.Synthesis(top, {})
    synthesis.map(top)
    used = mapping.count(synthesis.statistics(mapping.FOLDER / f"stat_{top}.json"), top)
    return {name: used[name] for name in ("luts", "multipliers")}


def measure(lanes: int, out: Path) -> list[dict]:
    """Measure everything; write ratio.json into the folder `out`."""
    import bench_scan

    from lathe import Device

    rows = rates(lambda banks: Device("verilator", lanes, banks), lanes)
    unit = clip_unit(out)
    for row in rows:
        row["samples_per_cycle"] = unit[row["name"]] / row["passes"]
    rows += bench_scan.measure(lanes)
    meta = {"samples_per_cycle": "the clip unit, over the number of passes; of the reverse scan the whole command on the chip",
            "loss_samples_per_cycle": f"LOSS on the chip with {ACTIONS} actions, {ACTIONS + 1} elements a sample, one a cycle; sequence "
                                      "modes: MEASURE and LOSS, sequences of 32 samples",
            "errors": errors(), "lathe_ratio_clip": cost()}
    (out / "ratio.json").write_text(json.dumps({"meta": meta, "rows": rows}, indent=1) + "\n")
    return rows
