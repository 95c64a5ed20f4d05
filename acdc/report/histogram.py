"""A histogram of activations as bars of a drawing: bins that grow by one factor are equally wide."""

from collections.abc import Sequence
from dataclasses import dataclass

from acdc.report.text import number

__all__ = ["HEIGHT", "WIDTH", "Bar", "bars"]

WIDTH, HEIGHT = 320, 110  # of all bars, in the drawing's own units
GAP = 2


@dataclass(frozen=True)
class Bar:
    """One bin: where its bar stands, measured from the drawing's upper left corner, and what it says.

    Attributes:
        low: Where the bin begins, as text; `title` tells both ends and how many tokens lie between.
    """

    x: float
    y: float
    width: float
    height: float
    low: str
    title: str


def bars(histogram: Sequence[tuple[float, float, int]]) -> list[Bar]:
    """The bars of bins, given by their ends and counts; one that holds anything is seen."""
    most, step = max((n for _, _, n in histogram), default=0), WIDTH / max(1, len(histogram))
    found = []
    for i, (low, high, n) in enumerate(histogram):
        height = max(1.0, HEIGHT * n / most) if n else 0.0
        title = f"{number(low)} to {number(high) or '∞'}: {n:,} token{'' if n == 1 else 's'}"
        bar = Bar(
            round(i * step, 1), round(HEIGHT - height, 1), round(step - GAP, 1), round(height, 1), number(low), title
        )
        found.append(bar)
    return found
