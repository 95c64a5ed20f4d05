"""Steps of a search that give back what was found before, so that a stopped search goes on where it was."""

from collections.abc import Callable, Mapping

from torch import Tensor

__all__ = ["Step", "afresh"]

Tensors = Mapping[str, Tensor]
Step = Callable[[str, Callable[[], Tensors]], Tensors]
"""`step(name, make)`: what the step of this name found before, to the last bit and on the CPU, or what `make` finds."""


def afresh(name: str, make: Callable[[], Tensors]) -> Tensors:
    """A step of which nothing is kept."""
    del name
    return make()
