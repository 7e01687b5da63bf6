# SPDX-License-Identifier: Apache-2.0
"""Packs and unpacks the RTL's packed structs, whose layout is read from the SystemVerilog packages themselves.

    cmd_t = struct("cmd_t");  dut.cmd_i.value = cmd_t.pack({"m": 3, "t": [{"addr": 5}]});  cmd_t.unpack(value)["m"]
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("rtl/ctrl/lathe_desc_pkg.sv", "rtl/ctrl/lathe_pkg.sv", "rtl/ctrl/lathe_ctrl_pkg.sv")


@dataclass(frozen=True)
class Bits:
    """A vector or an enumeration; `codes` maps an enumeration's names to values."""

    width: int
    signed: bool = False
    codes: Mapping[str, int] | None = None

    def pack(self, value: int | str) -> int:
        if isinstance(value, str):
            value = self.codes[value]
        value = int(value)
        low, high = (-1 << (self.width - 1), 1 << (self.width - 1)) if self.signed else (0, 1 << self.width)
        if not low <= value < high:
            raise ValueError(f"{value} does not fit {self.width} {'signed' if self.signed else 'unsigned'} bits")
        return value & ((1 << self.width) - 1)

    def unpack(self, raw: int) -> int:
        return raw - (1 << self.width) if self.signed and raw >> (self.width - 1) else raw


@dataclass(frozen=True)
class Array:
    """`count` elements, element 0 in the least significant bits; missing elements pack as zero."""

    element: object
    count: int

    @property
    def width(self) -> int:
        return self.element.width * self.count

    def pack(self, values: Sequence | Mapping) -> int:
        items = values.items() if isinstance(values, Mapping) else enumerate(values)
        raw = 0
        for index, value in items:
            if not 0 <= index < self.count:
                raise ValueError(f"index {index} of {self.count}")
            raw |= self.element.pack(value) << (index * self.element.width)
        return raw

    def unpack(self, raw: int) -> list:
        w = self.element.width
        return [self.element.unpack((raw >> (i * w)) & ((1 << w) - 1)) for i in range(self.count)]


@dataclass(frozen=True)
class Struct:
    """A packed struct: `members` from the most significant down."""

    name: str
    members: Mapping[str, object]

    @property
    def width(self) -> int:
        return sum(member.width for member in self.members.values())

    def pack(self, values: Mapping) -> int:
        """Bits of `values` (a mapping or anything with attributes); members not given are zero."""
        if not isinstance(values, Mapping):
            values = vars(values)
        unknown = values.keys() - self.members.keys()
        if unknown:
            raise ValueError(f"{self.name} has no member {', '.join(sorted(unknown))}")
        raw = 0
        for name, member in self.members.items():
            raw = raw << member.width | (member.pack(values[name]) if name in values else 0)
        return raw

    def unpack(self, raw: int) -> dict:
        values, top = {}, self.width
        for name, member in self.members.items():
            top -= member.width
            values[name] = member.unpack((raw >> top) & ((1 << member.width) - 1))
        return values


_ITEM = re.compile(
    r"localparam\s+(?:int\s+unsigned|int)\s+(?P<constant>\w+)\s*=\s*(?P<value>[^;]+);"
    r"|typedef\s+enum\s+(?P<base>[^{]+)\{(?P<codes>[^}]*)\}\s*(?P<enum>\w+)\s*;"
    r"|typedef\s+struct\s+packed\s*\{(?P<members>[^}]*)\}\s*(?P<struct>\w+)\s*;"
)
_MEMBER = re.compile(r"\s*(?:\w+::)?(?P<type>\w+)\s*(?P<signed>signed\b)?\s*(?P<ranges>(?:\[[^\]]+\]\s*)*)(?P<name>\w*)\s*$")


class _Parser:
    def __init__(self) -> None:
        self.constants: dict = {"clog2": lambda value: (value - 1).bit_length()}
        self.types: dict[str, object] = {}

    def number(self, text: str) -> int:
        text = re.sub(r"\b\d+'d(\d+)", r"\1", text.strip()).replace("/", "//").replace("$clog2", "clog2")
        if not re.fullmatch(r"[\w\s+\-*/()]+", text):
            raise ValueError(f"not a constant that this parser knows: {text!r}")
        return int(eval(text, {"__builtins__": {}}, self.constants))  # noqa: S307 (digits, names and operators only)

    def kind(self, match: re.Match) -> object:
        if match["type"] in ("logic", "bit"):
            widths = [self.number(high) - self.number(low) + 1
                      for high, low in re.findall(r"\[([^:\]]+):([^\]]+)\]", match["ranges"])]
            kind = Bits(widths.pop() if widths else 1, bool(match["signed"]))
        else:
            kind = self.types[match["type"]]
            widths = [self.number(high) - self.number(low) + 1
                      for high, low in re.findall(r"\[([^:\]]+):([^\]]+)\]", match["ranges"])]
        for count in reversed(widths):
            kind = Array(kind, count)
        return kind

    def read(self, text: str) -> None:
        for item in _ITEM.finditer(re.sub(r"//[^\n]*", "", text)):
            if item["constant"]:
                self.constants[item["constant"]] = self.number(item["value"])
            elif item["enum"]:
                pairs = (pair.split("=") for pair in item["codes"].split(",") if pair.strip())
                codes = {name.strip(): self.number(value) for name, value in pairs}
                width = self.kind(_MEMBER.match(item["base"])).width
                self.types[item["enum"]] = Bits(width, codes=codes)
                self.constants |= codes
            else:
                members = {}
                for line in filter(str.strip, item["members"].split(";")):
                    match = _MEMBER.match(line)
                    members[match["name"]] = self.kind(match)
                self.types[item["struct"]] = Struct(item["struct"], members)


@cache
def _parsed() -> _Parser:
    parser = _Parser()
    for name in PACKAGES:
        parser.read((ROOT / name).read_text())
    return parser


def struct(name: str) -> Struct:
    """The packed struct `name` of lathe_pkg, lathe_desc_pkg or lathe_ctrl_pkg."""
    return _parsed().types[name]


def constant(name: str) -> int:
    """A localparam or enumeration code of these packages, e.g. `constant("ActTanh")`."""
    return _parsed().constants[name]
