# SPDX-License-Identifier: Apache-2.0
"""Steps a cycle of policy SCAN on the simulated chip, over the number of environments."""

import numpy as np

ENVIRONMENTS = (1, 2, 4, 8, 16, 32, 63)
RECORDS = 1024


def measure(lanes: int) -> list[dict]:
    """Scan about RECORDS records of 1 to 63 environments; return a row for each number.

    Every result is compared with the golden model before its cycles count: those in which the command was in the unit.
    """
    from lathe import Device, Program
    from lathe.advantages import Advantages
    from pymodels.scan import scan
    from tb.common.scans import episodes, scan_of

    rows, made = [], Advantages.vtrace()
    with Device(backend="verilator", lanes=lanes) as device:
        made.write(device.registers)
        for environments in ENVIRONMENTS:
            steps = RECORDS // environments - 1
            given = episodes(np.random.default_rng(environments), steps, environments)
            records = device.layout.records(f"records of {environments}", len(given))
            program = Program(f"scan of {environments} environments", device.layout)
            program.scan(records, environments)
            given = np.pad(given, ((0, 0), (0, records.columns - 8)))
            device.load(records, given)
            device.registers.write("CONTROL", perf_clear=1)
            device.run(program)
            cycles = sum(device.registers.value(f"POLICY_{what}") for what in ("BUSY", "STALL_OPERAND", "STALL_RESULT"))
            done, _ = scan(given, environments, scan_of(made))
            if not np.array_equal(device.store_mantissas(records)[0][: len(done)], done):
                raise SystemExit(f"bench: the scan of {environments} environments differs from the golden model")
            rows.append({"name": f"scan of {environments} environments, {steps} steps", "lanes": lanes, "environments": environments,
                         "samples": len(done), "passes": 1, "cycles": cycles, "samples_per_cycle": len(done) / cycles})
    return rows
