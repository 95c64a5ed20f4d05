"""Files that survive a crash and are checked when read: atomic writes, strict JSON, and schemas.

Every file of the engine is written and read through here, so that an interrupted write leaves the old file whole, and a
damaged or hostile file gives one short line that says what is wrong with it.
"""

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil
from pydantic import BaseModel, TypeAdapter, ValidationError

from acdc.errors import FileError, printable, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "as_dataclass",
    "parse_json",
    "plain",
    "read_bytes",
    "read_json",
    "sweep",
    "validated",
    "write_atomically",
    "write_csv",
    "write_json",
]

MAX_BYTES = 2**31  # of a file that is read at once
LONGEST_KEY = 1000  # letters
Schema = TypeVar("Schema", bound=BaseModel)
Made = TypeVar("Made")


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file through a temporary one beside it, so that nobody ever sees half a file.

    Raises:
        FileError: The folder is missing or can't be written, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise FileError(f"can't write {path}: {_reason(error)}") from None
    return path


def sweep(folder: str | os.PathLike[str], *, all_of_them: bool = False) -> None:
    """Remove the temporary files that killed processes left in a folder.

    Args:
        all_of_them: Also those of processes that live: the caller knows that no other one writes here.
    """
    for path in Path(folder).glob(".*.tmp"):
        found = re.fullmatch(r"\..+\.(\d{1,9})\.tmp", path.name)
        if found and (all_of_them or not psutil.pid_exists(int(found[1]))):
            with suppress(OSError):  # another process was faster, or may do more here
                path.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write JSON that people read too; infinities and NaN become null, for strict readers.

    Raises:
        FileError: The file can't be written.
    """
    return write_atomically(path, (json.dumps(plain(value), indent=2, default=str, allow_nan=False) + "\n").encode())


def write_csv(path: str | os.PathLike[str], table: "pd.DataFrame") -> Path:
    """Write a table, a line a row under its columns' names.

    Raises:
        FileError: The file can't be written.
    """
    return write_atomically(path, table.to_csv(index=False).encode())


def plain(value: Any) -> Any:
    """A value as it will be read back from JSON: lists for tuples, text for keys, None for what isn't finite."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value


def read_bytes(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> bytes:
    """A file's content.

    Raises:
        FileError: It isn't there, can't be read, isn't a regular file, or is larger than `max_bytes`.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise FileError(f"can't read {path}: it is {'a folder' if path.is_dir() else 'no regular file'}")
        if (size := path.stat().st_size) > max_bytes:
            raise FileError(f"{path} has {size:,} bytes, more than the {max_bytes:,} that are read")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise FileError(f"can't read {path}: {_reason(error)}") from None


def read_json(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES, allow_nan: bool = False) -> Any:
    """The JSON value of a file: see `parse_json`.

    Raises:
        FileError: It can't be read, or isn't strict JSON.
    """
    content = read_bytes(path, max_bytes=max_bytes)
    try:
        return parse_json(content, allow_nan=allow_nan)
    except FileError as error:
        raise FileError(f"{path} {error}") from None


def parse_json(content: bytes | str, *, allow_nan: bool = False) -> Any:
    """A JSON value, read strictly: in UTF-8, every key once and of at most a thousand letters, no lone surrogates.

    Args:
        allow_nan: Whether NaN and Infinity may stand for numbers, as Python's own writer puts them; JSON has neither.

    Raises:
        FileError: It isn't such JSON. The message starts with a verb, so that a file's name can stand before it.

    >>> parse_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ...
    acdc.errors.FileError: has the key 'a' twice in one object
    """
    try:
        text = content if isinstance(content, str) else content.decode()
        value = json.loads(text, object_pairs_hook=_once, parse_constant=None if allow_nan else _no_constant)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise FileError("is no text: it holds half a character (a lone surrogate)") from None
    except UnicodeDecodeError:
        raise FileError("is not JSON: it is no UTF-8 text") from None
    except RecursionError:
        raise FileError("is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise FileError(f"is not JSON: {printable(str(error), 200)}") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FileError(f"has the key {printable(twice, 60)!r} twice in one object")
    if found and max(map(len, found)) > LONGEST_KEY:
        longest = max(found, key=len)
        raise FileError(f"has a key of {len(longest):,} letters ({printable(longest, 40)!r}); at most {LONGEST_KEY:,}")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number in JSON")


def validated(schema: type[Schema], value: Any, *, what: str) -> Schema:
    """`value` as an instance of a pydantic schema.

    Args:
        what: Whose value it is, as the message is to begin: "outputs/ioi/run.json is damaged".

    Raises:
        FileError: It doesn't fit; the message names the first field that doesn't.
    """
    return _checked(lambda: schema.model_validate(value), what)


def as_dataclass(kind: type[Made], value: Any, *, what: str) -> Made:
    """`value`, as it was read from JSON, as an instance of a dataclass, whose lists become the tuples that it asks for.

    Args:
        what: Whose value it is, as the message is to begin.

    Raises:
        FileError: It doesn't fit; the message names the first field that doesn't.
    """
    return _checked(lambda: _adapter(kind).validate_json(json.dumps(value)), what)  # type: ignore[arg-type]  # classes are hashable


@cache
def _adapter(kind: Any) -> Any:
    return TypeAdapter(kind)


def _checked(read: Callable[[], Made], what: str) -> Made:
    """What `read` gives; why it can't, in one line."""
    try:
        return read()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        came = "" if first["type"] == "missing" else f", not {shown(first['input'])}"
        field = f"{printable(place, 100)!r}: " if place else ""
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        raise FileError(f"{what}: {field}{message[:1].lower()}{printable(message[1:], 200)}{came}{more}") from None
    except RecursionError:
        raise FileError(f"{what}: it is nested too deeply") from None


def _reason(error: Exception) -> str:
    return printable(str(getattr(error, "strerror", None) or error), 200)
