# SPDX-License-Identifier: Apache-2.0
"""Frames of the host link (docs/link.md): flags, escapes and the FCS-16 of RFC 1662."""

import re
from binascii import crc_hqx

FLAG, ESCAPE, FLIP = b"\x7e", b"\x7d", 0x20
SHORTEST, LONGEST = 5, 270
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ESCAPED = re.compile(rb"\x7d(.)", re.DOTALL)


def fcs16(data: bytes) -> int:
    """Return the FCS-16: the CCITT polynomial with the least significant bit first, complemented."""
    crc = crc_hqx(data.translate(_REVERSED), 0xFFFF)  # which has the most significant bit first
    return (_REVERSED[crc & 0xFF] << 8 | _REVERSED[crc >> 8]) ^ 0xFFFF


def encode(content: bytes) -> bytes:
    """Return the frame of `content` as it is sent, from flag to flag."""
    frame = content + fcs16(content).to_bytes(2, "little")
    return FLAG + frame.replace(ESCAPE, b"\x7d\x5d").replace(FLAG, b"\x7d\x5e") + FLAG


class Decoder:
    """Finds frames in what comes from the line.

    Attributes
    ----------
    damaged : int
        Frames dropped since it was made.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._rest = b""  # behind the last flag

    def feed(self, data: bytes) -> list[bytes]:
        """Return the contents (without FCS) of the right frames that `data` completes."""
        *frames, rest = (self._rest + data).split(FLAG)
        self._rest = rest[:2 * LONGEST + 2]  # what is longer is no frame
        contents = []
        for frame in frames:
            content = _ESCAPED.sub(lambda match: bytes([match[1][0] ^ FLIP]), frame)
            if len(content) < SHORTEST:
                continue
            if len(content) > LONGEST or _ends_in_escape(frame) or content[-2:] != fcs16(content[:-2]).to_bytes(2, "little"):
                self.damaged += 1
            else:
                contents.append(content[:-2])
        return contents


def _ends_in_escape(frame: bytes) -> bool:
    escapes = len(frame) - len(frame.rstrip(ESCAPE))
    return escapes % 2 == 1
