"""Cut the bytes of a file into rows: lines of JSON lines, elements of one big JSON array.

Neither loads the file, and both start at any row: planning notes where shards begin, reading starts there again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_BETWEEN = b" \t\r\n,"  # what stands between elements
BLANK_LIMIT = 64  # a longer line of nothing but white space counts as a (bad) row; planning need not look into it
# A string may not cross a line: after a lost quotation mark the scan finds its feet again on the next line.
_TOKEN = re.compile(rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*(?:"|\\?(?=\n)|\\?\Z)|[\[\]{}:,]|[^\s"\[\]{}:,]+')
_OPENING, _CLOSING = re.compile(r"[ \t\r\n,]*\{"), re.compile(r"[ \t\r\n]*[,\]]")
_DECODER = json.JSONDecoder()


class Raw(NamedTuple):
    """The bytes of one row, where they begin in the file, and on which line (from 1, counted from the scan's start)."""

    offset: int
    line: int
    raw: bytes


def bare(line: bytes) -> bytes:
    """A line without byte order mark (files that were put together have them inside) and CR; empty if it is no row at all."""
    line = line.removeprefix(_BOM).removesuffix(b"\r")
    return line if len(line) > BLANK_LIMIT or line.strip() else b""


def lines(stream: pa.NativeFile, offset: int = 0, length: int | None = None) -> Iterator[Raw]:
    """The lines that are not blank, without their line ends, of the file or of `length` bytes of it."""
    stream.seek(offset)
    left = length
    rest: list[bytes] = []
    number = 1
    while block := stream.read(_BLOCK if left is None else min(_BLOCK, left)):
        left = None if left is None else left - len(block)
        *whole, tail = block.split(b"\n")
        for piece in whole:
            line = b"".join([*rest, piece]) if rest else piece
            rest.clear()
            if row := bare(line):
                yield Raw(offset + (3 if line.startswith(_BOM) else 0), number, row)
            offset += len(line) + 1
            number += 1
        if tail:
            rest.append(tail)
    line = b"".join(rest)
    if row := bare(line):
        yield Raw(offset + (3 if line.startswith(_BOM) else 0), number, row)


def elements(stream: pa.NativeFile, offset: int | None = None, length: int | None = None) -> Elements:
    """The elements of a JSON array: of the whole file, or of `length` bytes that begin with an element.

    A broken element is yielded as it stands, and so is what follows the end of the array; the rows around it are not lost.
    Another array that follows at once (files that were put together) is read on.
    """
    start = 0 if offset is None else offset
    stream.seek(start)
    return Elements(stream, start, None if length is None else start + length, inside=offset is not None)


class Elements:
    """The scan of one array: a buffer that begins with the current element, and the stack of its open brackets. After it,
    `line` is the number of the last line.

    An element that is whole and sound is passed over by the JSON decoder, ten times faster than token by token. What is an
    element depends on nothing that stands before the one where the scan begins.
    """

    def __init__(self, stream: pa.NativeFile, start: int, end: int | None, inside: bool) -> None:
        self._stream, self._position, self._end = stream, start, end
        self._inside = self._open = inside
        self._closed = False  # by the token before
        self._buffer, self._offset, self.line = b"", start, 1
        self._stack: list[bytes] = []
        self._rest = b""  # what no bracket and no comma ended

    @property
    def truncated(self) -> bool:
        """Whether the file that has been scanned ended inside the array, and no row says so: where it ended inside an element,
        that one is a bad row already, and the same damage is not counted twice."""
        return self._open and (not self._rest or _is_whole(self._rest))

    def __iter__(self) -> Iterator[Raw]:
        scanned, previous, fresh = 0, b"", self._inside
        while True:
            begin, complete = 0, self._fill()
            text = self._buffer.decode("latin-1")  # a character for each byte: the structure of JSON is ASCII
            while True:
                if fresh and (stop := _sound(text, begin)):
                    yield from self._element(begin, stop)
                    begin = scanned = stop
                    continue
                match = _TOKEN.search(self._buffer, scanned)
                if match is None or (match.end() == len(self._buffer) and not complete):
                    break  # the token may go on in the next block
                token, scanned, fresh = match[0], match.end(), False
                if cut := self._cut(token, previous, match.start()):
                    yield from self._element(begin, cut[0])
                    begin = scanned = cut[1]
                    fresh = self._inside
                previous = token
            if complete:
                for row in self._element(begin, len(self._buffer)):
                    self._rest = row.raw
                    yield row
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
        if token == _BOM:
            return None
        closed, self._closed = self._closed, False
        if not self._inside or (closed and token == b"["):
            if token != b"[":
                return None
            self._inside = self._open = True  # what stands before the bracket (at most a byte order mark) is no element
            return start, start + 1
        if token == b"{" and stack == [b"{"] and previous != b":":
            stack.clear()
            return start, start  # an object where only a key can stand: the element before was never closed
        if token in (b"{", b"["):
            stack.append(token)
        elif token in (b"}", b"]") and stack:
            stack.pop()
        elif token == b"]":
            self._open, self._closed = False, True
            return start, start + 1
        elif token == b"," and not stack:
            return start, start + 1
        return None

    def _element(self, begin: int, stop: int) -> Iterator[Raw]:
        """The element between two places in the buffer; the scan moves on behind it."""
        stripped = self._buffer[begin:stop].strip(_BETWEEN).removeprefix(_BOM).strip(_BETWEEN)
        lead = self._buffer.index(stripped, begin) - begin if stripped else 0
        self.line += self._buffer.count(b"\n", begin, begin + lead)
        if stripped:
            yield Raw(self._offset + begin + lead, self.line, stripped)
        self.line += self._buffer.count(b"\n", begin + lead, stop)


def _sound(text: str, begin: int) -> int:
    """The end of the element that begins here, if it is a sound object and another one or the array's end follows; else 0."""
    opening = _OPENING.match(text, begin)
    if opening is None:
        return 0
    try:
        stop = _DECODER.raw_decode(text, opening.end() - 1)[1]
    except (ValueError, RecursionError):
        return 0
    return stop if _CLOSING.match(text, stop) else 0


def _is_whole(element: bytes) -> bool:
    """Whether an element is all there, whatever its encoding."""
    try:
        json.loads(element.decode("latin-1"), strict=False)
    except (ValueError, RecursionError):
        return False
    return True
