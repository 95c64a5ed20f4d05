"""What is declared of a role that a head may have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from acdc.interpret.evidence import Evidence
from acdc.interpret.head_names import Head
from acdc.interpret.tested import Tested

__all__ = ["Role", "Scores"]


@dataclass(frozen=True)
class Scores:
    """How strongly each head shows a role.

    Attributes:
        labels: What else is to be said of a head's score, like "3 back"; by layer and head.
    """

    values: Float[Tensor, "layer head"]
    labels: Mapping[Head, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Role:
    """A role.

    Attributes:
        name: Its name in the field.
        does: What such a head does, as the end of a sentence: "looks at the previous token".
        evidence: What it is measured on: `random tokens`, `weights`, `task prompts`, `needles` or `sentences`.
        measure: Every head's score. It raises `Unmeasured` where a score would mean nothing.
        definition: The score, in a sentence or a formula.
        source: The paper and its section.
        cut: The score from which on a head is said to have the role; `cut_source` says whose cut it is, where it isn't
            the source's.
        test: An intervention that the role predicts, on a head of this name; None where none is known.
    """

    name: str
    does: str
    evidence: str
    measure: Callable[[Evidence], Scores]
    definition: str
    source: str
    cut: float
    cut_source: str = ""
    test: Callable[[Evidence, str], Tested] | None = None
