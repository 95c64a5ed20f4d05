"""What a section of an explanation is: one thing that is measured of a circuit, and where it goes."""

from collections.abc import Callable
from dataclasses import dataclass

from acdc.interpret.explanation import Explanation
from acdc.interpret.subject import Subject

__all__ = ["Section"]


@dataclass(frozen=True)
class Section:
    """A section; its module in `acdc.interpret.sections` calls it `SECTION`, and nothing else names it.

    Attributes:
        name: By which it is asked for; its module is called so too.
        summary: What it says, in a line.
        order: When it is measured, the lowest first: a section may read what earlier ones found. The first are also
            the first that are afforded.
        measure: `(subject, so far)` to what it adds, as an explanation in which all else is empty; of a node's card
            only the fields that it sets. It raises an `ACDCError` where it can't be measured, which becomes a note.
        cost: About how many forward passes of the held-out prompts it takes.
        brief: Whether it belongs to the few words that a discovery says of its circuit at its end.
        whole_answers: Whether it has a meaning where answers have several tokens, each asked for in a row of its own:
            what reads one row's last position says nothing of the whole answer.
    """

    name: str
    summary: str
    order: int
    measure: Callable[[Subject, Explanation], Explanation]
    cost: Callable[[Subject], float]
    brief: bool = False
    whole_answers: bool = False
