"""A warning, from a search's first seconds, where it would take more than an hour and another method would not."""

import logging
import time
from collections.abc import Callable

from acdc.discovery import METHODS
from acdc.progress import Pace, Progress, Tell, roughly

__all__ = ["warning_of_hours"]

logger = logging.getLogger(__name__)

HOUR = 3600.0  # seconds
SEEN = 30.0  # seconds of a stage after which its forecast is believed


def warning_of_hours(method: str, tell: Tell | None, clock: Callable[[], float] = time.monotonic) -> Tell:
    """What to call with each `Progress` of a search: it passes it on to `tell`, and warns once if that is long.

    Args:
        method: The search's method; what is faster is what it names as such.
        clock: Seconds, of any beginning.
    """
    pace, warned = Pace(), False

    def note(progress: Progress) -> None:
        nonlocal warned
        if tell is not None:
            tell(progress)
        if warned:
            return
        now = clock()
        pace.note(progress, now)
        left = pace.left(now) if pace.elapsed(now) >= SEEN else None
        if left is not None and left > HOUR:
            warned = True
            logger.warning("%s", _words(method, left))

    return note


def _words(method: str, left: float) -> str:
    faster = METHODS[method].faster if method in METHODS else None
    text = f"method {method} takes about {roughly(left)} more at the pace of its first seconds"
    if faster is not None:
        text += f"; --method {faster} is much faster"
    return text
