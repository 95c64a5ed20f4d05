"""Rows of a data file: JSON, JSON lines, CSV and TSV, read strictly and named by where they stand."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from acdc.errors import FileError, printable
from acdc.files import parse_json

__all__ = ["MAX_FILE_BYTES", "SUFFIXES", "FileRow", "is_data_file", "rows_of"]

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
MAX_FILE_BYTES = 2**28  # a million prompts of a hundred letters; more is no list that a person made
MAX_ROWS = 1_000_000


class FileRow(NamedTuple):
    """One record: where it stands ("line 3"), and its values by column."""

    where: str
    values: dict[str, Any]


def is_data_file(spec: str) -> bool:
    """Whether a task's name is that of a file of prompts."""
    return spec.lower().endswith(SUFFIXES)


def rows_of(content: bytes, path: Path) -> list[FileRow]:
    """The records of a file.

    A `.json` file may hold a list, an object with the list under `prompts`, `data`, `examples` or `rows`, or an object
    a line. Text is UTF-8, or UTF-16 with its mark; a byte order mark and either kind of line ends are fine.

    Raises:
        FileError: It isn't such a file; the message says where.
    """
    text, suffix = _decoded(content, path), path.suffix.lower()
    read = {".csv": _csv_rows, ".tsv": _csv_rows, ".json": _json_rows}.get(suffix, _line_rows)
    found = []
    for row in read(text, path):
        found.append(row)
        if len(found) > MAX_ROWS:
            raise FileError(f"{path} has more than {MAX_ROWS:,} rows, which are the most that are read")
    if not found:
        raise FileError(f"{path} holds no rows")
    return found


def _decoded(content: bytes, path: Path) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileError(f"{path}, line {line}: is no UTF-8 text; save the file as UTF-8") from None


def _json_rows(text: str, path: Path) -> Iterator[FileRow]:
    first, _, rest = text.strip().partition("\n")
    if rest.strip() and first.strip().startswith("{") and first.strip().endswith("}"):
        yield from _line_rows(text, path)  # an object a line, whatever the file is called
        return
    try:
        value = parse_json(text, allow_nan=True)
    except FileError as error:
        raise FileError(f"{path} {error}") from None
    if isinstance(value, dict):
        lists = [value[name] for name in ("prompts", "data", "examples", "rows") if isinstance(value.get(name), list)]
        value = lists[0] if lists else [value]
    if not isinstance(value, list):
        raise FileError(f"{path} must hold a list of objects, or one under 'prompts', not {type(value).__name__}")
    for i, item in enumerate(value, 1):
        yield FileRow(f"row {i}", _object(item, f"{path}, row {i}"))


def _line_rows(text: str, path: Path) -> Iterator[FileRow]:
    for i, line in enumerate(text.split("\n"), 1):  # a line separator of Unicode may stand in a text
        if not line.strip():
            continue
        try:
            value = parse_json(line, allow_nan=True)
        except FileError as error:
            raise FileError(f"{path}, line {i} {error}") from None
        yield FileRow(f"line {i}", _object(value, f"{path}, line {i}"))


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FileError(f"{where}: expected an object with named fields, not {printable(repr(value), 60)}")
    return value


def _csv_rows(text: str, path: Path) -> Iterator[FileRow]:
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(head, path), strict=True)
    names: list[str] | None = None
    try:
        for cells in reader:
            if not cells:
                continue
            if names is None:
                names = _header(cells, path)
                continue
            where = f"line {reader.line_num}"
            if len(cells) != len(names):
                raise FileError(f"{path}, {where}: has {len(cells)} fields where the first line names {len(names)}")
            yield FileRow(where, dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise FileError(f"{path}, line {reader.line_num}: {error}") from None


def _delimiter(head: str, path: Path) -> str:
    """A comma; a tab or a semicolon, as some programs write, where the first line has no comma."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((sign for sign in (",", "\t", ";") if sign in head), ",")


def _header(cells: list[str], path: Path) -> list[str]:
    names = [cell.strip() for cell in cells]
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise FileError(f"{path} names the column {printable(twice[0], 60)!r} twice")
    return names
