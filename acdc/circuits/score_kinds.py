"""What an edge's score is: the closed set of kinds, and the words that tables and pictures use for each.

| kind | a score is | negative |
|---|---|---|
| `effect` | the measured rise of the loss when the edge is removed, in the metric's unit | removing it helps |
| `estimated effect` | the same by gradients, or that of the weaker of its two nodes | it is estimated to help |
| `gate` | how open a learned gate is: 0 closed, 1 open | never |
| `share` | the source's share in what the destination reads | never |
| `importance` | a number that ranks edges by its size, in no unit | a sign, which only some methods give |
| `none` | a control's number, which knows nothing of the task | never |

None stands for unknown: the scores came from a file that doesn't say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from acdc.errors import CircuitError, unknown_name

__all__ = ["SCORE_KINDS", "UNKNOWN", "ScoreKind", "ScoreWords", "check_score_kind", "words_of"]

ScoreKind = Literal["effect", "estimated effect", "gate", "share", "importance", "none"]


@dataclass(frozen=True)
class ScoreWords:
    """How scores of one kind are spoken of.

    Attributes:
        label: In a column's head or a legend.
        meaning: What the number says.
        negative: What a negative score says; None where there can be none.
    """

    label: str
    meaning: str
    negative: str | None = None


SCORE_KINDS: Mapping[ScoreKind, ScoreWords] = {
    "effect": ScoreWords("effect", "how much removing the edge raises the loss", "removing it helps"),
    "estimated effect": ScoreWords(
        "estimated effect",
        "how much removing the edge is estimated to raise the loss",
        "removing it is estimated to help",
    ),
    "gate": ScoreWords("gate", "how open the edge's learned gate is, from 0 to 1"),
    "share": ScoreWords("share", "the source's share in what the destination reads"),
    "importance": ScoreWords("importance", "a rank of edges by size, in no unit", "its score is negative"),
    "none": ScoreWords("control's score", "drawn or shuffled: it knows nothing of the task"),
}
UNKNOWN = ScoreWords("score", "unknown: the scores came without their kind", "its score is negative")


def words_of(kind: ScoreKind | None) -> ScoreWords:
    """The words for scores of this kind; of unknown scores, for None."""
    return UNKNOWN if kind is None else SCORE_KINDS[kind]


def check_score_kind(kind: object) -> ScoreKind | None:
    """`kind`, if it is one.

    Raises:
        CircuitError: It isn't.
    """
    if kind is not None and not isinstance(kind, str):
        raise CircuitError(f"a score's kind must be a name or none, not {type(kind).__name__}")
    if kind is not None and kind not in get_args(ScoreKind):
        raise CircuitError(str(unknown_name("kind of scores", kind, SCORE_KINDS)))
    return cast(ScoreKind | None, kind)
