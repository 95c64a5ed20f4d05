"""A checkpoint on disk: what a search has measured so far, so that a killed run continues where it stopped.

Measured values are the lines of a chain (`acdc.runs.chain`). The first names the run by its fingerprint; each other one
holds numbers in the order in which they were measured, exact to the last bit; the last may be the search's whole
result. Where the chain is broken the checkpoint ends, and what followed is measured again. A state, which replaces the
one before, is a safetensors file of the same name beside it (`acdc.runs.state_file`).
"""

import logging
import math
import os
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from acdc.errors import FileError, RunError
from acdc.files import validated
from acdc.runs.chain import Line, read_chain, sealed
from acdc.runs.state_file import StateFile, state_path

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: two processes then aren't kept apart
    fcntl = None

__all__ = ["FileCheckpoint", "clear_checkpoint", "is_being_written"]

logger = logging.getLogger(__name__)

FORMAT = 2
SYNC_SECONDS = 1.0  # at most so much work is lost with the machine; with the process alone, none
LOCK_TRIES, LOCK_WAIT = 5, 0.02  # who only looks at a checkpoint holds it for a moment
KEPT = "what was measured before is kept, so make room there and give the same command again"


class Header(BaseModel):
    """The first line: of which format, and whose checkpoint it is."""

    model_config = ConfigDict(strict=True)

    checkpoint: int
    fingerprint: str


class FileCheckpoint:
    """The checkpoint of one run: first gives back the recorded values, then records more.

    Args:
        path: The file; made if it isn't there.
        fingerprint: Names the run: its arguments, prompts, weights and versions.

    Attributes:
        recorded: How many lines and states an earlier process left.

    Raises:
        RunError: The file is another run's.
        FileError: It can't be read or written.
        BlockingIOError: Another process is writing it, or has just removed it.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self._synced, self._next = path, -math.inf, 0
        self._state = StateFile(path, fingerprint)
        self._lines: list[Line] = []  # as they were found: the header, the values, the result
        self._digest, self._end = b"", 0  # of the last line, written now or before
        try:
            self._file: FileIO = open(path, "a+b", buffering=0)  # noqa: SIM115  closed in `close`
        except OSError as error:
            raise _unwritable(path, error) from None
        try:
            _lock(self._file)
            self._read(fingerprint)
        except BaseException:
            self._file.close()
            raise
        self.recorded = len(self._lines) - 1 + self._state.path.exists()

    @property
    def result(self) -> dict[str, Any] | None:
        """The search's recorded result, if it came to its end."""
        value = self._lines[-1].value
        return value["result"] if isinstance(value, dict) and "result" in value else None

    @property
    def values(self) -> list[list[float]]:
        """All recorded values, without the result."""
        return [line.value for line in self._lines[1:] if isinstance(line.value, list)]

    def next(self) -> list[float] | None:
        """The next recorded values; None when all have been read."""
        if self._next + 1 == len(self._lines) or not isinstance(values := self._lines[self._next + 1].value, list):
            return None
        self._next += 1
        return values

    def reject(self) -> None:
        """Forget the values that were given back last, and all after them: they don't fit the search."""
        logger.warning("%s doesn't fit the search from line %d on; that is measured again", self.path, self._next + 1)
        self._keep(self._lines[: self._next])
        self._next -= 1

    def forget_result(self) -> None:
        """Drop the recorded result; what was measured stays."""
        self._keep(self._lines[:-1])

    def append(self, values: list[float]) -> None:
        """Record values; they outlive the process at once, and the machine within a second.

        Raises:
            FileError: The file can't be written.
        """
        assert self._next + 1 == len(self._lines), "values are recorded after all recorded ones are read"
        self._write(values)

    def load(self) -> dict[str, Tensor] | None:
        """The state that was kept last, if there is one and it is whole."""
        return self._state.read()

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Keep a state instead of the one before.

        Raises:
            FileError: The file can't be written.
        """
        self._state.write(state)

    def conclude(self, result: dict[str, Any]) -> None:
        """Record what the search found, so that nothing of it is done again.

        Raises:
            FileError: The file can't be written.
        """
        self._write({"result": result})

    def close(self) -> None:
        """Stop writing; the file stays."""
        self._file.close()

    def discard(self) -> None:
        """Remove the file: the run is over. One that can't be removed does no harm: the run is known to be finished."""
        try:
            if fcntl is None:
                self.close()  # an open file can't be removed there
            self._state.path.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)  # while it is locked, so that nobody takes it up in between
        except OSError as error:
            logger.warning("can't remove %s: %s", self.path, error.strerror or error)
        self.close()

    def __enter__(self) -> "FileCheckpoint":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, fingerprint: str) -> None:
        """Take over the good lines of this run; whatever follows them is cut off.

        Raises:
            RunError: They are another run's.
        """
        try:
            self._file.seek(0)
            content = self._file.readall()
        except OSError as error:
            raise FileError(f"can't read {self.path}: {error.strerror or error}") from None
        lines = _entries(read_chain(content))
        header = _header(lines)
        if header is not None and header.fingerprint != fingerprint:
            raise RunError(f"{self.path} is the checkpoint of another run: its arguments, prompts or weights differ")
        lines = lines if header is not None and header.checkpoint == FORMAT else []
        if b"\n" in content[lines[-1].end if lines else 0 :]:  # half a line is what a kill leaves
            what = f"damaged in line {len(lines) + 1}" if lines else "damaged or of another version"
            logger.warning("%s is %s; what it held from there on is measured again", self.path, what)
        self._keep(lines)
        if not lines:
            self._state.path.unlink(missing_ok=True)  # it belonged to a chain that is gone
            header = Header(checkpoint=FORMAT, fingerprint=fingerprint)
            self._write(header.model_dump())
            self._lines = [Line(header, self._digest, self._end)]

    def _keep(self, lines: list[Line]) -> None:
        """Let the file end after these lines."""
        self._lines = lines
        self._digest, self._end = (lines[-1].digest, lines[-1].end) if lines else (b"", 0)
        try:
            self._file.truncate(self._end)
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def _write(self, value: Any) -> None:
        line, digest = sealed(value, self._digest)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            self._file.truncate(self._end)
            raise _unwritable(self.path, error) from None
        self._digest, self._end = digest, self._end + len(line)


def is_being_written(path: Path) -> bool:
    """Whether a process has this checkpoint open."""
    try:
        with open(path, "r+b", buffering=0) as file:
            _lock(file)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def clear_checkpoint(path: Path, *, finished: bool) -> bool:
    """Remove a checkpoint that nobody needs (its run is finished, or nothing was measured); whether it is gone.

    Raises:
        OSError: Another process is writing it, or it can't be removed.
    """
    with open(path, "r+b", buffering=0) as file:
        _lock(file)
        state = state_path(path)
        if finished or (file.readall().count(b"\n") <= 1 and not state.exists()):
            state.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            return True
    return False


def _lock(file: FileIO) -> None:
    """Keep other processes out until this one closes the file or dies.

    The file itself is locked, not one beside it (as filelock does): so nothing is left of a killed run's lock, and a
    checkpoint that is removed can't be taken up by anyone who waited.

    Raises:
        BlockingIOError: Another process has it, or has just removed it.
    """
    if fcntl is None:
        return
    for attempt in range(LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if attempt == LOCK_TRIES - 1:
                raise
            time.sleep(LOCK_WAIT)
    if os.fstat(file.fileno()).st_nlink == 0:
        raise BlockingIOError("the checkpoint was just removed")


def _entries(lines: list[Line]) -> list[Line]:
    """The lines up to the first that can't be of a checkpoint; the first one is its header."""
    good = next((n for n, line in enumerate(lines) if n and not _is_entry(line.value)), len(lines))
    return lines[:good]


def _is_entry(value: Any) -> bool:
    """Whether it is a list of numbers, or a result."""
    if isinstance(value, dict):
        return isinstance(value.get("result"), dict)
    return isinstance(value, list) and all(type(number) in (int, float) for number in value)


def _header(lines: list[Line]) -> Header | None:
    try:
        return validated(Header, lines[0].value, what="the checkpoint") if lines else None
    except FileError:
        return None


def _unwritable(path: Path, error: OSError) -> FileError:
    return FileError(f"can't write {path}: {error.strerror or error}; {KEPT}")
