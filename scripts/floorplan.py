# SPDX-License-Identifier: Apache-2.0
"""What becomes of the chip's netlist before it is placed: where multipliers and memories go, whose registers are the multipliers' own.

nextpnr spreads multipliers over their sites with little regard to what they are wired to, which decides the clock of a chip that uses
nearly all of them. Here the array lies along two rows of sites as it is wired: column by column, with its edges, and the optimizer's
lanes beside it; the drain's lanes lie in the third row, each below its column, away from the banks, whose wires need the room. Memories
lie in rows between them: of the scratchpad's words the bits of one lane, in all banks, lie above that lane, so that a port chooses its
word nearby.
"""

import re
from collections import Counter


def _sites(row: int, block: int, place: int) -> tuple[tuple[int, int, int], ...]:
    """Return the memory sites of a row from one on."""
    return tuple((row, *divmod(site, 4)) for site in range(4 * block + place, 4 * BLOCKS))


# Sites of an ECP5 85k part: three rows, 13 blocks of four in each (read off nextpnr's own placements).
ROWS = (10, 34, 58)  # of the lanes, of the array
BLOCKS = 13
PLACES = (0, 1, 4, 5)
MEMORY_ROWS = (22, 46, 70, 82)  # of as many blocks of four
COLUMNS = (0, 1, 2, 3, 5, 6, 7, 8)  # blocks of the array's columns and of the lanes
SIDE, EDGE = 9, 4                   # blocks of the array's edges
OPTIMIZER = ((2, 10), (2, 11), (2, 12), (1, 12))  # row and block of the optimizer's lanes, two each
CHECK = (1, 10)                     # of the descriptor check
# By lanes: blocks of the parts of the scratchpad's words, memory row and place of each bank.
BANKS = {8: (COLUMNS, ((1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3), (3, 0), (3, 1))),
         4: ((3, 5, 7, 9), ((1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)))}
# Which other memories lie together, in the order of their names, and where: row, blocks, places (of the first block the last
# places). Left to itself the placer puts them wherever a site is free, half the chip away from what they are wired to.
GROUPS = (
    (r"u_gemm\.ctx_mem_q", ((0, 4, 0), (0, 4, 1), (0, 4, 2), (0, 4, 3), (0, 3, 2), (0, 5, 2))),
    (r"u_ctrl\.u_progmem\.", _sites(1, 8, 2)[:8]),
    (r"u_ctrl\.u_exponents\.", ((0, 9, 0),)),
    (r"u_policy\.(u_log_softmax\.u_out|u_score\.u_context|u_read)\.", _sites(1, 10, 2)),
    (r"u_policy\.", _sites(0, 9, 1)),
)
BANK = re.compile(r"u_scratchpad\.u_banks\.g_bank\[(\d)\]\.mem_q\.0\.(\d)$")  # bank and lane of a memory
STEP = re.compile(r"u_update\.u_step\.g_lane\[(\d+)\]")
ADAM = re.compile(r"u_update\.u_step\.u_adam\.product_i$")  # 35 bits of each lane of the optimizer


def _x(block: int) -> int:
    return 4 + 9 * block if block < 7 else 69 + 9 * (block - 7)


def site(row: int, block: int, place: int) -> str:
    """Return the multiplier site's name."""
    return f"X{_x(block) + PLACES[place]}/Y{ROWS[row]}/MULT18_{PLACES[place]}"


def memory_site(row: int, block: int, place: int) -> str:
    """Return the block RAM site's name."""
    return f"X{_x(block) + 2 * place}/Y{MEMORY_ROWS[row]}/EBR{place}"


def _bits(module: dict) -> dict[int, list[tuple[str, int]]]:
    """Names and indices of each net."""
    found: dict[int, list[tuple[str, int]]] = {}
    for name, net in module["netnames"].items():
        for index, bit in enumerate(net["bits"]):
            found.setdefault(bit, []).append((name, index))
    return found


def _element(cell: dict, nets: dict, register: str, width: int) -> int | None:
    """Return which element of an array of `width` bits each a multiplier's operands or product belong to."""
    for port, bits in cell["connections"].items():
        for name, index in nets.get(bits[0], []) if re.fullmatch(r"[AP]\d+", port) and bits else []:
            if name.endswith(register):
                return index // width
    return None


def _optimizer_lane(name: str, cell: dict, nets: dict) -> int | None:
    """Return the lane of the optimizer that a multiplier belongs to, by its name or the product's; None for any other."""
    if lane := STEP.search(name):
        return int(lane[1])
    for port, bits in cell["connections"].items():
        for net, index in nets.get(bits[0], []) if re.fullmatch(r"P\d+", port) and bits else []:
            if ADAM.search(net):
                return index // 35
    return None


def _home(name: str, cell: dict, nets: dict, used: Counter) -> tuple[int, int, int] | None:
    """Return row, block and place of one of the array's or the drain's multipliers; None for any other."""
    if "u_cells.product_d" in name:
        number = _element(cell, nets, "u_cells.product_d", 32)
        if number is None:
            number = _element(cell, nets, "u_cells.x_q", 16)
        if number is not None:
            i, j = divmod(number, 8)
            return 1 + i // 4, COLUMNS[j], i % 4
    for kind in ("side", "edge"):
        if f"u_array.{kind}_product_d" in name and (number := _element(cell, nets, f"{kind}_product_d", 18)) is not None:
            return 1 + number // 4, SIDE if kind == "side" else EDGE, number % 4
    if lane := re.search(r"u_drain\.gen_lane\[(\d+)\]", name):
        used[lane[1]] += 1
        return 0, COLUMNS[int(lane[1])], used[lane[1]] - 1
    if (number := _optimizer_lane(name, cell, nets)) is not None:
        home = OPTIMIZER[number // 2]
        used[home] += 1
        return *home, used[home] - 1
    if "u_ctrl.u_sequencer.u_check" in name:
        used[CHECK] += 1
        return *CHECK, used[CHECK] - 1
    return None


def place_multipliers(module: dict) -> int:
    """Bind the multipliers of a flat netlist of the chip with 8 lanes to sites; return how many: of a unit without the array none."""
    nets, used = _bits(module), Counter()
    cells = {name: cell for name, cell in sorted(module["cells"].items()) if cell["type"] == "MULT18X18D"}
    homes = {name: _home(name, cell, nets, used) for name, cell in cells.items()}
    taken = Counter(home for home in homes.values() if home)
    if not taken:
        return 0
    if max(taken.values()) > 1 or any(place > 3 for _, _, place in taken):
        raise ValueError(f"the floorplan does not know this netlist: {sorted(home for home, count in taken.items() if count > 1)}")
    free = [(row, block, place) for row in range(len(ROWS)) for block in range(BLOCKS) for place in range(4)
            if (row, block, place) not in taken]
    free.sort(key=lambda home: (home[0] == 0, -home[1], home))
    rest = sorted(name for name, home in homes.items() if not home)
    homes |= dict(zip(rest, free, strict=False))
    for name, home in homes.items():
        cells[name]["attributes"]["BEL"] = site(*home)
    return len(homes)


def _memory_home(name: str, lanes: int) -> tuple[int, int, int] | None:
    """Return row, block and place of a block RAM: of the scratchpad, with 8 lanes of sums and tables; None for any other."""
    if found := BANK.search(name):
        blocks, banks = BANKS[lanes]
        row, place = banks[int(found[1])]
        return row, blocks[int(found[2])], place
    if lanes != 8:
        return None
    if found := re.search(r"u_collect\.gen_column\[(\d)\].*mem_q\.0\.(\d)$", name):
        return 0, COLUMNS[int(found[1])], int(found[2])
    if found := re.search(r"u_drain\.gen_lane\[(\d)\].*u_tanh\.rom\.0\.0$", name):
        return 0, COLUMNS[int(found[1])], 3
    return None


def place_memories(module: dict, lanes: int) -> int:
    """Bind block RAMs of a flat netlist of the chip with 4 or 8 lanes and 8 banks to sites; return how many. With 4 only the banks."""
    names = sorted(name for name, cell in module["cells"].items() if cell["type"] == "DP16KD")
    if any("u_scratchpad." in name for name in names) and not any(BANK.search(name) for name in names):
        raise ValueError("the floorplan does not know this netlist's memories: no bank of the scratchpad is named as it expects")
    homes = {name: home for name in names if (home := _memory_home(name, lanes))}
    rest = [name for name in names if name not in homes]
    for pattern, sites in GROUPS if lanes == 8 else ():
        group = [name for name in rest if re.search(pattern, name)]
        homes |= dict(zip(group, sites, strict=False))
        rest = [name for name in rest if name not in group]
    if len(set(homes.values())) < len(homes):
        raise ValueError("the floorplan does not know this netlist's memories: two want one site")
    for name, home in homes.items():
        module["cells"][name]["attributes"]["BEL"] = memory_site(*home)
    return len(homes)


def _register(cells: dict, loads: dict, product: int) -> str | None:
    """Return the flip-flop that alone takes this bit of a product, if it has neither reset nor an inverted clock or enable."""
    if len(found := loads.get(product, [])) != 1:
        return None
    name, port = found[0]
    cell = cells[name]
    plain = {"CLKMUX": ("CLK",), "CEMUX": ("CE", "1")}
    if cell["type"] != "TRELLIS_FF" or port not in ("DI", "M") or cell["connections"].get("LSR", ["0"]) not in (["0"], []):
        return None
    return name if all(cell["parameters"].get(key, values[0]).strip() in values for key, values in plain.items()) else None


def pack_products(module: dict) -> int:
    """Let multipliers whose whole product enters a register use the one that they have; return how many.

    Synthesis leaves that register in the fabric, where up to 36 wires lead to it.
    """
    cells = module["cells"]
    loads: dict[object, list[tuple[str, str]]] = {}
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for bit in bits if cell["port_directions"][port] == "input" else ():
                loads.setdefault(bit, []).append((name, port))
    outputs = {bit for port in module["ports"].values() for bit in port["bits"]}
    packed = 0
    for cell in [cell for cell in cells.values() if cell["type"] == "MULT18X18D"]:
        products = {port: bits[0] for port, bits in cell["connections"].items()
                    if re.fullmatch(r"P\d+", port) and bits and (bits[0] in loads or bits[0] in outputs)}
        registers = {port: _register(cells, loads, bit) for port, bit in products.items()}
        if not registers or None in registers.values() or outputs & set(products.values()):
            continue
        controls = {(ff["connections"]["CLK"][0], ff["connections"]["CE"][0] if ff["parameters"].get("CEMUX", "CE") == "CE" else "1")
                    for ff in (cells[name] for name in registers.values())}
        if len(controls) != 1:
            continue
        clock, enable = controls.pop()
        cell["parameters"] |= {"REG_OUTPUT_CLK": "CLK0", "REG_OUTPUT_CE": "CE0", "REG_OUTPUT_RST": "RST0"}
        cell["connections"] |= {"CLK0": [clock], "CE0": [enable], "RST0": ["0"]}
        cell["port_directions"] |= {"CLK0": "input", "CE0": "input", "RST0": "input"}
        for port, name in registers.items():
            cell["connections"][port] = cells.pop(name)["connections"]["Q"]
        packed += 1
    return packed
