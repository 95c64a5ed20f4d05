"""What long work says of itself."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "Tell"]


@dataclass(frozen=True)
class Progress:
    """How far a search is: `done` of `total` edges decided (of this sweep), `kept` still in the circuit.

    ACDC also says how many edges it has `measured`: the others could have no effect.
    """

    done: int
    total: int
    kept: int
    stage: str
    measured: int = 0


Tell = Callable[[Progress], None]
