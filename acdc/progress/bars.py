"""Showing how far long work is: one line that is rewritten in a terminal or a notebook, else a line now and then.

    part 5 of 9: curve  ████████░░░░░░░░  12 of 40 circuits; 35 s, about 1 min 20 s left

The line is text and carriage returns alone, which terminals and every kind of notebook show alike, without widgets.
"""

import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from acdc.errors import RunError, printable
from acdc.progress import Pace, Progress, Tell, duration, roughly
from acdc.progress.ending import obey

__all__ = ["Bar", "Progressing", "shown"]

REDRAW = 0.5  # seconds
FIRST_LINE = 5.0  # seconds until the first of the lines that stand for a bar
LINES = 30.0  # seconds between them
WIDTH, LEAST = 16, 4  # letters of the bar; where fewer fit beside the words, there is none
Progressing = bool | Tell | None


@contextmanager
def shown(progress: Progressing) -> Iterator[Tell | None]:
    """What to call with each `Progress`: True shows a bar on standard error, False and None show nothing.

    Raises:
        RunError: `progress` is neither of these nor a function.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        with Bar() as bar:
            yield bar.note
    elif callable(progress):
        yield progress
    else:
        raise RunError(f"progress must be True (a bar), False, or a function of a Progress, not {progress!r}")


class Bar:
    """A bar on a stream, redrawn by a thread of its own, so that its clock runs on while the work is silent.

    Args:
        stream: A text file to write to; standard error by default.
        live: Whether the line is rewritten; by default where the stream is a terminal or a notebook's.
        clock: Seconds, of any beginning.
    """

    def __init__(
        self, stream: Any = None, *, live: bool | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.live = _rewrites(self.stream) if live is None else live
        self.clock, self.pace = clock, Pace()
        self._drawn, self._lock, self._done = 0, threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="acdc-progress")
        self._filtered: list[logging.Handler] = []

    def __enter__(self) -> "Bar":
        if self.live:
            self._filtered = _handlers()
            for handler in self._filtered:
                handler.addFilter(self._make_room)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        for handler in self._filtered:
            handler.removeFilter(self._make_room)
        self.clear()

    def note(self, progress: Progress) -> None:
        """Take in how far the work is; it is drawn later, so this costs next to nothing. What it notes stays.

        Raises:
            EndRequested: A signal has asked the process to end.
        """
        obey()
        with self._lock:
            self.pace.note(progress, self.clock())
            if progress.note:
                self._erase()
                self._write(f"acdc: {printable(f'{progress.label}: {progress.note}')}\n")

    def draw(self) -> None:
        """Write the line, or write it anew."""
        with self._lock:
            text = self._line()
            if not text:
                return
            if not self.live:
                self._write(f"acdc: {text}\n")
                return
            columns = self._columns()
            text = text[:columns]
            self._write(f"\r{text.ljust(min(self._drawn, columns))}")
            self._drawn = len(text)

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._drawn:
            self._write(f"\r{' ' * self._drawn}\r")
        self._drawn = 0

    def _run(self) -> None:
        if self._done.wait(REDRAW if self.live else FIRST_LINE):
            return
        self.draw()
        while not self._done.wait(REDRAW if self.live else LINES):
            self.draw()

    def _line(self) -> str:
        progress, now = self.pace.latest, self.clock()
        if progress is None:
            return ""
        left = self.pace.left(now)
        times = duration(self.pace.elapsed(now)) + ("" if left is None else f", about {roughly(left)} left")
        what, rest = printable(progress.label), f"{progress.count}; {times}" if progress.total else times
        rest = f"{rest}; {printable(progress.now)}" if progress.now else rest
        room = min(WIDTH, self._columns() - len(what) - len(rest) - 4) if self.live and progress.total else 0
        text = f"{what}  {_bar(progress, room)}  {rest}" if room >= LEAST else f"{what}: {rest}"
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        return text.replace("█", "#").replace("░", "-") if _is_narrow(encoding) else text

    def _columns(self) -> int:
        return max(20, shutil.get_terminal_size().columns - 1)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):  # closed, or nobody reads any more: no reason to stop the work
            self._done.set()

    def _make_room(self, record: logging.LogRecord) -> bool:
        self.clear()
        return True


def _bar(progress: Progress, width: int) -> str:
    filled = width * min(progress.done, progress.total) // progress.total
    return "█" * filled + "░" * (width - filled)


def _is_narrow(encoding: str) -> bool:
    try:
        "█░".encode(encoding)
    except (LookupError, UnicodeError):
        return True
    return False


def _rewrites(stream: Any) -> bool:
    """Whether a carriage return goes back to the line's beginning here: in terminals, and in notebooks."""
    try:
        if stream.isatty():
            return True
    except (AttributeError, ValueError):
        return False
    return type(stream).__module__.startswith("ipykernel") or "google.colab" in sys.modules


def _handlers() -> list[logging.Handler]:
    """Those that may write a warning into the line."""
    own = [*logging.getLogger("acdc").handlers, *logging.getLogger().handlers]
    return [*own, logging.lastResort] if logging.lastResort is not None else own
