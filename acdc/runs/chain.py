"""A file of lines that each vouch for themselves and for the line before.

One JSON array a line, `["<digest>", value]`. A digest is of its value and of the digest before it, so a line that was
changed, lost or moved is noticed: the chain ends before it. So it does before a line that was cut off by a kill.
"""

import hashlib
import json
from typing import Any, NamedTuple

from acdc.errors import FileError
from acdc.files import parse_json

__all__ = ["Line", "read_chain", "sealed"]

START, MIDDLE, END = b'["', b'", ', b"]\n"  # of a line
DIGEST = 16  # letters


class Line(NamedTuple):
    """A good line: its value, its digest, and where in the file it ends."""

    value: Any
    digest: bytes
    end: int


def sealed(value: Any, before: bytes) -> tuple[bytes, bytes]:
    """The line that holds a value after a line of this digest, and its own digest."""
    content = json.dumps(value).encode()
    digest = _digest(content, before)
    return START + digest + MIDDLE + content + END, digest


def _digest(content: bytes, before: bytes) -> bytes:
    return hashlib.blake2b(before + content, digest_size=DIGEST // 2).hexdigest().encode()


def read_chain(content: bytes) -> list[Line]:
    """The lines up to the first that isn't whole and as it was written."""
    lines, digest, end = list[Line](), b"", 0
    for line in content.splitlines(keepends=True):
        head = START + line[len(START) : len(START) + DIGEST] + MIDDLE
        if not (line.startswith(head) and line.endswith(END)):
            break
        inner = line[len(head) : -len(END)]
        if head != START + (digest := _digest(inner, digest)) + MIDDLE:
            break
        try:
            value = parse_json(inner, allow_nan=True)
        except FileError:
            break
        end += len(line)
        lines.append(Line(value, digest, end))
    return lines
