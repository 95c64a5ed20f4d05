"""A journal on disk: what a search has measured so far, so that a killed run goes on where it stopped.

One JSON value a line. The first line names the run by its fingerprint; each other line holds values in the order in
which they were measured, exact to the last bit. A line that was cut off by the kill is dropped.
"""

import json
import math
import os
import time
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from acdc.errors import RunError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: two processes then aren't kept apart
    fcntl = None

__all__ = ["FileJournal"]

SYNC_SECONDS = 1.0  # at most so much work is lost with the machine; with the process alone, none


class FileJournal:
    """The journal of one run: first gives back the recorded values, then records more.

    Args:
        path: The file; made if it isn't there.
        fingerprint: Names the run: its arguments, prompts, weights and versions.

    Attributes:
        recorded: How many lines an earlier process left.

    Raises:
        RunError: The file is another run's, or can't be written.
        BlockingIOError: Another process is writing it.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self._synced = path, -math.inf
        try:
            self._file = open(path, "a+b")  # noqa: SIM115  closed in `close`
        except OSError as error:
            raise RunError(f"can't write {path}: {error.strerror or error}") from None
        try:
            self._lock()
            self._values = self._read(fingerprint)
        except BaseException:
            self._file.close()
            raise
        self.recorded, self._next = len(self._values), 0

    def next(self) -> list[float] | None:
        """The next recorded values; None when all have been read."""
        if self._next == self.recorded:
            return None
        self._next += 1
        return self._values[self._next - 1]

    def append(self, values: list[float]) -> None:
        """Record values; they outlive the process at once, and the machine within a second.

        Raises:
            RunError: The file can't be written.
        """
        assert self._next == self.recorded, "values are recorded after all recorded ones are read"
        self._write(values)

    def close(self) -> None:
        """Stop writing; the file stays."""
        self._file.close()

    def discard(self) -> None:
        """Remove the file: the run is over."""
        self.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> "FileJournal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        """Keep other processes out until this one closes the file or dies."""
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _read(self, fingerprint: str) -> list[list[float]]:
        """The values on file; whatever follows the last whole line is cut off."""
        self._file.seek(0)
        lines, end = [], 0
        for line in self._file:
            value = _parse(line)
            if value is None:
                break
            lines.append(value)
            end += len(line)
        self._file.truncate(end)
        if not lines:
            self._write({"fingerprint": fingerprint})
            return []
        header, *values = lines
        if not isinstance(header, dict) or header.get("fingerprint") != fingerprint:
            raise RunError(f"{self.path} is the journal of another run: its arguments, prompts or weights differ")
        return values

    def _write(self, value: Any) -> None:
        try:
            self._file.write(json.dumps(value).encode() + b"\n")
            self._file.flush()
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise RunError(f"can't write {self.path}: {error.strerror or error}") from None


def _parse(line: bytes) -> Any | None:
    """A whole line's value; None for half a line."""
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None
