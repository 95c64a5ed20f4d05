"""Examples of a feature, token by token: as dark as the feature is strong."""

from dataclasses import dataclass

from acdc.features.reading import Window
from acdc.report.text import number, token

__all__ = ["Word", "words"]

SHADES = 10  # of intensity


@dataclass(frozen=True)
class Word:
    """A token of an example: how it reads, its shade, and its activation as text; empty where it has none."""

    text: str
    shade: int
    title: str


def words(window: Window, largest: float) -> list[Word]:
    """An example's tokens, as dark as they are strong beside the feature's largest activation."""
    return [
        Word(token(text), _shade(value, largest), number(value) if value else "")
        for text, value in zip(window.tokens, window.activations, strict=True)
    ]


def _shade(value: float, largest: float) -> int:
    return 0 if not value or not largest else max(1, min(SHADES, round(SHADES * value / largest)))
