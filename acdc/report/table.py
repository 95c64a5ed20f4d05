"""Tables of a page: plain ones, and heat tables, whose cells are coloured and are figure and table in one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Cell", "Cells", "Heat", "Table", "diverging", "sequential"]

STEPS = 10  # of a colour scale, on each side of its middle


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        sort: What its column is sorted by; None sorts last. By default its text.
        color: The class of its colour; empty: none.
        title: What hovering says.
        node: The node that a click on it shows.
    """

    text: str
    sort: int | float | str | None = ""
    color: str = ""
    title: str = ""
    node: str = ""

    @property
    def key(self) -> int | float | str | None:
        """What it is sorted by."""
        return self.text if self.sort == "" else self.sort


Cells = tuple[tuple[Cell, ...], ...]  # row by row


@dataclass(frozen=True)
class Table:
    """A table, whose first column names its rows.

    Attributes:
        id: Of its element; unique on the page.
        left_out: What isn't in it, in a sentence; empty if it is complete.
    """

    id: str
    caption: str
    heads: tuple[str, ...]
    rows: Cells
    left_out: str = ""


@dataclass(frozen=True)
class Heat:
    """One or several coloured grids over the same rows and columns, of which a reader chooses the one shown.

    Attributes:
        layers: By their names, the cells as `[row][column]`.
        about: Sentences that say how to read it.
    """

    id: str
    caption: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    layers: Mapping[str, Cells]
    about: tuple[str, ...] = ()


def diverging(value: float | None, largest: float = 1.0) -> str:
    """The colour of a number around 0: orange below, blue above, full at `largest`.

    >>> diverging(0.31), diverging(-2.0), diverging(None)
    ('d3', 'd-10', '')
    """
    if value is None or not math.isfinite(value) or largest <= 0:
        return ""
    return f"d{round(STEPS * max(-1.0, min(1.0, value / largest)))}"


def sequential(value: float | None, largest: float = 1.0) -> str:
    """The colour of a number from 0 to `largest`.

    >>> sequential(0.31), sequential(2.0)
    ('s3', 's10')
    """
    if value is None or not math.isfinite(value) or largest <= 0:
        return ""
    return f"s{round(STEPS * max(0.0, min(1.0, value / largest)))}"
