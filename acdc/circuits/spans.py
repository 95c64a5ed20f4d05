"""The spans by which a graph's edges are split: their names, and which of them attends to which."""

from collections.abc import Sequence

from acdc.errors import CircuitError, shown

__all__ = ["Sees", "check_sees", "check_spans"]

Sees = tuple[tuple[bool, ...], ...]  # [query span][key span]: whether the first attends to the second
FORBIDDEN = frozenset("@<>,\"'")


def check_spans(spans: tuple[str, ...]) -> None:
    """Raise `CircuitError` unless these are the names of spans that a graph can be split by: none, or several."""
    if len(spans) == 1:
        raise CircuitError(f"a graph is split by two spans or more, not by {shown(spans[0], 40)} alone; leave it out")
    for name in spans:
        if not name or not name.isprintable() or FORBIDDEN & set(name) or any(map(str.isspace, name)):
            expected = f"a word without any of {' '.join(sorted(FORBIDDEN))}"
            raise CircuitError(f"a span's name must be {expected}, not {shown(name, 40)}")
    if len(set(spans)) < len(spans):
        twice = next(name for i, name in enumerate(spans) if name in spans[:i])
        raise CircuitError(f"two spans of a graph have the name {shown(twice, 40)}")


def check_sees(sees: Sequence[Sequence[bool]], n: int) -> Sees:
    """Which of n spans attend to which, every one to every one if nothing is said.

    Raises:
        CircuitError: It is not a square of them.
    """
    if not sees:
        return ((True,) * n,) * n
    if len(sees) != n or any(len(row) != n for row in sees):
        raise CircuitError(f"what {n} spans see must be a square of {n} x {n}")
    return tuple(tuple(map(bool, row)) for row in sees)
