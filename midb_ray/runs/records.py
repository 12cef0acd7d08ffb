"""Cut the bytes of a file into rows: lines of JSON lines, elements of one big JSON array.

Neither loads the file, and both start at any row: planning notes where shards begin, reading starts there again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
BLANK_LIMIT = 64  # a longer line of nothing but white space counts as a (bad) row; planning need not look into it

# A string may not cross a line: after a lost quotation mark the scan finds its feet again on the next line.
_TOKEN = re.compile(rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*(?:"|\\?(?=\n)|\\?\Z)|[\[\]{}:,]|[^\s"\[\]{}:,]+')


class Raw(NamedTuple):
    """The bytes of one row, where they begin in the file, and on which line (from 1, counted from the scan's start)."""

    offset: int
    line: int
    raw: bytes


def is_blank(line: bytes) -> bool:
    """Whether a line is no row at all."""
    return len(line) <= BLANK_LIMIT and not line.strip()


def lines(stream: pa.NativeFile, offset: int = 0, length: int | None = None) -> Iterator[Raw]:
    """The lines that are not blank, without their line ends, of the file or of `length` bytes of it."""
    stream.seek(offset)
    end = None if length is None else offset + length
    rest: list[bytes] = []
    number, rest_offset = 1, offset
    position = offset
    while block := stream.read(_BLOCK if end is None else min(_BLOCK, end - position)):
        position += len(block)
        *whole, tail = block.split(b"\n")
        for piece in whole:
            line = b"".join([*rest, piece])
            rest.clear()
            yield from _line(rest_offset, number, line)
            rest_offset += len(line) + 1
            number += 1
        rest.append(tail)
    yield from _line(rest_offset, number, b"".join(rest))


def elements(stream: pa.NativeFile, offset: int | None = None, length: int | None = None) -> Iterator[Raw]:
    """The elements of a JSON array: of the whole file, or of `length` bytes that begin with an element.

    A broken element is yielded as it stands, and so is what follows the end of the array; the rows around it are not lost.
    """
    start = 0 if offset is None else offset
    stream.seek(start)
    return _Elements(stream, start, None if length is None else start + length, inside=offset is not None).scan()


def _line(offset: int, number: int, line: bytes) -> Iterator[Raw]:
    if offset == 0 and line.startswith(_BOM):
        line, offset = line[len(_BOM) :], len(_BOM)
    line = line[:-1] if line.endswith(b"\r") else line
    if not is_blank(line):
        yield Raw(offset, number, line)


class _Elements:
    """The scan of one array: a buffer that begins with the current element, and the stack of its open brackets."""

    def __init__(self, stream: pa.NativeFile, start: int, end: int | None, inside: bool) -> None:
        self._stream, self._position, self._end = stream, start, end
        self._inside = inside
        self._buffer, self._offset, self._line = b"", start, 1
        self._stack: list[bytes] = []

    def scan(self) -> Iterator[Raw]:
        scanned, previous = 0, b""
        while True:
            begin, complete = 0, self._fill()
            for match in _TOKEN.finditer(self._buffer, scanned):
                if match.end() == len(self._buffer) and not complete:
                    break  # the token may go on in the next block
                token, scanned = match[0], match.end()
                if cut := self._cut(token, previous, match.start()):
                    yield from self._element(begin, cut[0])
                    begin = cut[1]
                previous = token
            if complete:
                yield from self._element(begin, len(self._buffer))
                return
            self._buffer = self._buffer[begin:]
            self._offset += begin
            scanned -= begin

    def _fill(self) -> bool:
        """Read on, at least as much again as waits in the buffer; True at the end."""
        wanted = max(_BLOCK, len(self._buffer))
        if self._end is not None:
            wanted = min(wanted, self._end - self._position)
        block = self._stream.read(wanted) if wanted else b""
        self._position += len(block)
        self._buffer += block
        return not block

    def _cut(self, token: bytes, previous: bytes, start: int) -> tuple[int, int] | None:
        """Where the element before `token` ends and where the next one begins, if it ends here."""
        stack = self._stack
        if not self._inside:
            if token != b"[":
                return None
            self._inside = True  # what stands before the bracket (at most a byte order mark) is no element
            return start, start + 1
        if token == b"{" and stack == [b"{"] and previous != b":":
            return start, start  # an object where only a key can stand: the element before was never closed
        if token in (b"{", b"["):
            stack.append(token)
        elif token in (b"}", b"]") and stack:
            stack.pop()
        elif token == b"]":
            self._inside = False
            return start, start + 1
        elif token == b"," and not stack:
            return start, start + 1
        return None

    def _element(self, begin: int, stop: int) -> Iterator[Raw]:
        """The element between two places in the buffer; the scan moves on behind it."""
        text = self._buffer[begin:stop].removeprefix(_BOM)
        stripped = text.strip(b" \t\r\n,")
        lead = self._buffer.index(stripped, begin) - begin if stripped else 0
        self._line += self._buffer.count(b"\n", begin, begin + lead)
        if stripped:
            yield Raw(self._offset + begin + lead, self._line, stripped)
        self._line += self._buffer.count(b"\n", begin + lead, stop)
