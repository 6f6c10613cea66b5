"""Reads hash lists as ThreatExchange's tools write them: CSV with or without a header, one PDQ hash per line.

With a header, the hash is in the column `hash`, `indicator`, `signal_str`, `pdq` or `pdq_hash`; `type` or
`signal_type`, `quality` and `tags` are understood, other columns are not kept. Without one, the hash is in the first
column and tags, separated by spaces, in the fourth, as in python-threatexchange's files.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from app.errors import InvalidRequest

# Below it an image has so few features that its hash says little; ThreatExchange's tools generate the line here, too.
MIN_QUALITY = 50
DEFAULT_DISTANCE = 31  # of 256 bits; what ThreatExchange takes for a confident match
MAX_DISTANCE = 64  # half of what unrelated images are apart

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_HASH_COLUMNS = ("hash", "indicator", "signal_str", "pdq", "pdq_hash")
_TYPE_COLUMNS = ("type", "signal_type")
_PDQ_TYPES = ("pdq", "hash_pdq")
_MAX_TAGS = 32
_MAX_MISTAKES = 20


@dataclass(frozen=True, slots=True)
class HashRow:
    """One hash of a list: 32 bytes, most significant bit first."""

    pdq: bytes
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Columns:
    hash: int = 0
    type: int | None = None
    quality: int | None = None
    tags: int | None = 3


@dataclass(slots=True)
class HashFile:
    """A CSV file, row by row; what was left out is counted while it is read."""

    lines: Iterable[bytes]
    other_types: int = field(default=0, init=False)
    low_quality: int = field(default=0, init=False)

    def rows(self) -> Iterator[HashRow]:
        """The hashes, a line at a time. At the end it raises InvalidRequest that lists the first mistakes."""
        mistakes: list[str] = []
        columns: _Columns | None = None
        found = False
        reader = csv.reader(_text(self.lines))
        while len(mistakes) < _MAX_MISTAKES:
            try:
                cells = next(reader, None)
                if cells is None:
                    break
                if not any(cell.strip() for cell in cells):
                    continue
                if columns is None and not _HASH.fullmatch(cells[0].strip()):
                    columns = _header(cells)
                    continue
                columns = columns or _Columns()
                if row := self._row(cells, columns):
                    found = True
                    yield row
            except ValueError as error:
                mistakes.append(f"line {reader.line_num}: {error}")
                if columns is None:
                    break  # what follows cannot be understood
            except (csv.Error, _UnreadableLine) as error:
                # csv counts a line once it has it.
                line = reader.line_num + isinstance(error, _UnreadableLine)
                mistakes.append(f"line {line}: {error}")
                break
        if not mistakes and not found:
            mistakes.append("there is no PDQ hash in it")
        if mistakes:
            errors = [{"detail": mistake} for mistake in mistakes]
            raise InvalidRequest("The hash list cannot be taken as it is, and nothing was changed.", errors=errors)

    def _row(self, cells: Sequence[str], columns: _Columns) -> HashRow | None:
        kind = _cell(cells, columns.type)
        if kind and kind.lower() not in _PDQ_TYPES:
            self.other_types += 1
            return None
        text = _cell(cells, columns.hash)
        if not _HASH.fullmatch(text):
            raise ValueError(f"{text[:80]!r} is not a PDQ hash, which has 64 hexadecimal digits")
        quality = _cell(cells, columns.quality)
        if quality and not quality.isdecimal():
            raise ValueError(f"{quality[:80]!r} is not a quality, which is a whole number")
        if quality and int(quality) < MIN_QUALITY:
            self.low_quality += 1
            return None
        tags = tuple(_cell(cells, columns.tags).split())
        if len(tags) > _MAX_TAGS:
            raise ValueError(f"there are more than {_MAX_TAGS} tags")
        return HashRow(bytes.fromhex(text), tags)


class _UnreadableLine(Exception):
    """A line that is no text."""


def _text(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise _UnreadableLine("the text is not UTF-8") from error
        if "\0" in text:
            raise _UnreadableLine("the text contains NUL")
        yield text.removeprefix("\ufeff") if number == 0 else text


def _header(cells: Sequence[str]) -> _Columns:
    names = [cell.strip().lower() for cell in cells]

    def column(*known: str) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    of_hash = column(*_HASH_COLUMNS)
    if of_hash is None:
        raise ValueError(f"this is neither a hash nor a header with one of the columns {', '.join(_HASH_COLUMNS)}")
    return _Columns(of_hash, column(*_TYPE_COLUMNS), column("quality"), column("tags"))


def _cell(cells: Sequence[str], column: int | None) -> str:
    return cells[column].strip() if column is not None and column < len(cells) else ""
