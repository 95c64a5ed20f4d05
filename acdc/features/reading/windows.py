"""A slice of text as a labeller and a rule see it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Detect", "Label", "Window"]


@dataclass(frozen=True)
class Window:
    """A slice of text.

    Attributes:
        tokens: As they read, each with the space that belongs to it.
        ids: Their numbers.
        activations: How strongly the feature fires on each. Where a window is to be judged they are not given: empty.
        marked: The tokens that are asked about; none: the question is whether the feature fires anywhere in it.
        counted: Those on which activations are counted; not those first in a window of the text.
        before, behind: How many tokens of the text's window stand before the slice, and behind it.
    """

    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    counted: tuple[bool, ...]
    activations: tuple[float, ...] = ()
    marked: tuple[bool, ...] = ()
    before: int = 0
    behind: int = 0

    def text(self, left: str = "«", right: str = "»") -> str:
        """The slice in a line, with the tokens marked that are asked about, or on which the feature fires."""
        marked = self.marked or tuple(value > 0 for value in self.activations) or (False,) * len(self.tokens)
        return "".join(f"{left}{t}{right}" if m else t for t, m in zip(self.tokens, marked, strict=True))


Label = Callable[[Sequence[Window]], str]  # a labeller: from examples to what the feature is for, in words
Detect = Callable[[str, Sequence[Window]], Sequence[bool]]  # a judge: whether the label says yes to each window
