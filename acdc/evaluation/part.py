"""What a part of an evaluation is: one dataclass that measures itself, puts itself in words, and fills tables."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from acdc.evaluation.cost import Cost
from acdc.evaluation.work import Work

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Line", "Part"]

Line = tuple[str, str]  # of a summary: what it is about, and what it says


class Part(ABC):
    """One part of the evidence: a frozen dataclass in a module of `acdc.evaluation.parts` that calls it `PART`.

    Nothing else names it. Its fields are what `evaluation.json` holds of it, so their types also say which files can be
    read; a check of several fields together goes into `__post_init__`, as a `ValueError`. Every part has the fields
    `n_prompts` and `forward_passes`, which its numbers rest on.

    Class attributes:
        name: By which it is asked for; its module is called so too.
        summary: What it says, in a line.
        order: Where it stands in a report, the lowest first; that one is also the first to be afforded.
        unit: Of what `Work.step` counts, like `edges`.
        by_default: Whether it is measured unless something else is asked for, as far as its `cost` allows.
        kinds: Endings of the files that it is written to, like `csv` and `svg`: see `frame` and `draw`.
        shares_outcomes: Its forward passes are those of `Work.outcomes`, which several parts read.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    name: ClassVar[str]
    summary: ClassVar[str]
    order: ClassVar[int] = 1000
    unit: ClassVar[str] = ""
    by_default: ClassVar[bool] = True
    kinds: ClassVar[tuple[str, ...]] = ()
    shares_outcomes: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def measure(cls, work: Work) -> "Part":
        """Measure it.

        Raises:
            ACDCError: It can't be measured for this circuit; the message becomes the reason why it was left out.
        """

    @classmethod
    def cost(cls, work: Work) -> Cost | None:
        """What it will take at most; None where that isn't known before.

        By it an evaluation that isn't thorough decides whether the part is among those that it measures.

        Raises:
            ACDCError: It can't be measured for this circuit.
        """
        return None

    @classmethod
    def is_done(cls, known: Mapping[str, Any], work: Work) -> bool:
        """Whether what an earlier evaluation with the same settings measured answers this one too."""
        return True

    def cautions(self) -> Sequence[str]:
        """What makes the whole evaluation doubtful, a sentence each; a summary begins with it."""
        return ()

    @abstractmethod
    def lines(self) -> Iterator[Line]:
        """The part in words, for a summary."""

    def values(self) -> dict[str, Any]:
        """What `evaluation.json` holds of it."""
        return asdict(self)  # type: ignore[call-overload]  # every part is a dataclass

    def edges(self) -> Mapping[str, Mapping[str, Any]]:
        """Columns of `edges.csv`: for each, its value by an edge's name."""
        return {}

    def frame(self) -> "pd.DataFrame":
        """The table that is written as `<name>.csv`, if `kinds` has `csv`."""
        raise NotImplementedError

    def draw(self, path: Path, *, circuit: str, prompts: str) -> None:
        """Draw it into a file whose ending is another of `kinds`.

        Args:
            circuit: Which circuit it is of, in words: task and model.
            prompts: Which prompts it was measured on, in words.
        """
        raise NotImplementedError
