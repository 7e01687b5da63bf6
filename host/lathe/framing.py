# SPDX-License-Identifier: Apache-2.0
"""Frames of the host link (docs/link.md): flags, escapes and the FCS-32 of RFC 1662."""

import re
from zlib import crc32

FLAG, ESCAPE, FLIP = b"\x7e", b"\x7d", 0x20
SHORTEST, LONGEST = 7, 272
FCS_BYTES = 4
_ESCAPED = re.compile(rb"\x7d(.)", re.DOTALL)


def _fcs(content: bytes) -> bytes:
    return crc32(content).to_bytes(FCS_BYTES, "little")


def encode(content: bytes) -> bytes:
    """Return the frame of `content` as it is sent, from flag to flag."""
    frame = content + _fcs(content)
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
            aborted = _ends_in_escape(frame)
            content = _ESCAPED.sub(lambda match: bytes([match[1][0] ^ FLIP]), frame[:-1] if aborted else frame)
            if len(content) < SHORTEST:
                continue
            if len(content) > LONGEST or aborted or content[-FCS_BYTES:] != _fcs(content[:-FCS_BYTES]):
                self.damaged += 1
            else:
                contents.append(content[:-FCS_BYTES])
        return contents


def _ends_in_escape(frame: bytes) -> bool:
    escapes = len(frame) - len(frame.rstrip(ESCAPE))
    return escapes % 2 == 1
