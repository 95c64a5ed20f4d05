"""How far the rows of an attribution graph are, and, once the first are made, how long all of them take."""

import time

from acdc.progress import Progress, Tell, roughly

__all__ = ["Counted"]

LONG = 10.0  # seconds from which a forecast is worth a line


class Counted:
    """Tells how many rows are made.

    Args:
        unit: What is counted.
        total: How many there are.
    """

    def __init__(self, tell: Tell | None, unit: str, total: int) -> None:
        self.tell, self.unit, self.total = tell, unit, total
        self.began, self.forecast = time.monotonic(), False

    def __call__(self, done: int, *, share: float) -> None:
        """So many are made, which took this share of the time of all."""
        if self.tell is None:
            return
        note, seconds = "", (time.monotonic() - self.began) / share
        if not self.forecast and seconds >= LONG:
            note = f"takes about {roughly(seconds)}"
        self.forecast = True
        self.tell(Progress(done, self.total, stage="tracing", unit=self.unit, note=note))
