"""Numbers of an evaluation: as its file holds them, and as its summary writes them. None and NaN are undefined."""

import math
from typing import Annotated

from pydantic import WrapValidator

__all__ = ["Number", "number", "p_value", "places"]

Number = Annotated[float, WrapValidator(lambda value, read: math.nan if value is None else read(value))]
"""A float that isn't always finite: in a file, null stands for NaN and for the infinities."""


def number(value: float | None) -> str:
    """With three significant digits.

    >>> number(0.12345), number(None)
    ('0.123', 'undefined')
    """
    return "undefined" if value is None or value != value else f"{value:.3g}"


def places(value: float | None) -> str:
    """With three decimal places.

    >>> places(0.95)
    '0.950'
    """
    return "undefined" if value is None or value != value else f"{value:.3f}"


def p_value(p: float) -> str:
    """With two significant digits, down to 1e-4.

    >>> p_value(0.0321), p_value(1e-7)
    ('0.032', '< 1e-4')
    """
    return f"{p:.2g}" if p >= 1e-4 else "< 1e-4"
