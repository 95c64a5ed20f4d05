"""Part `specification` (Miller et al. 2024): faithfulness under every choice of how to measure it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acdc.evaluation.cost import Cost
from acdc.evaluation.figures import draw_specification
from acdc.evaluation.numbers import number
from acdc.evaluation.part import Line, Part
from acdc.evaluation.specification import CHOICES, Specifications, passes_of_a_set, specifications
from acdc.evaluation.work import Work

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PART", "SpecificationCurve"]


@dataclass(frozen=True)
class SpecificationCurve(Specifications, Part):
    """All ways to measure the circuit, on both prompt sets.

    Attributes:
        own: The choices that the circuit was found with.
        n_prompts: Of each prompt set.
    """

    name = "specification"
    summary = "faithfulness under every way to measure it"
    order = 90
    unit = "ablations"
    kinds = ("csv", "svg", "png")

    own: Mapping[str, str]
    n_prompts: Mapping[str, int]

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("there is no row")
        if unknown := self.own.keys() - set(CHOICES):
            raise ValueError(f"{min(unknown)!r} is not a choice of a specification")

    @classmethod
    def measure(cls, work: Work) -> "SpecificationCurve":
        problems = {"discovery": work.discovery}
        if work.problem is not work.discovery:
            problems["held-out" if work.n_seen == 0 else work.prompts["text"]] = work.problem
        found = specifications(problems, work.mask, seed=work.settings.seed, recorder=work.recorder, progress=work.step)
        own = dict(zip(CHOICES, ("discovery", work.ablation, "noising", "edges", work.metric), strict=True))
        return cls(
            **vars(found), own=own, n_prompts={name: problem.batch.n_pairs for name, problem in problems.items()}
        )

    @classmethod
    def cost(cls, work: Work) -> Cost:
        sets = [work.problem] if work.problem is work.discovery else [work.discovery, work.problem]
        passes = passes_of_a_set()
        return Cost(len(sets) * passes, dense=sum(passes * problem.batch.n for problem in sets))

    def lines(self) -> Iterator[Line]:
        measured = [row for row in self.rows if row.faithfulness is not None]
        values = sorted(row.faithfulness for row in measured if row.faithfulness is not None and not row.no_meaning)
        without = f"; {len(measured) - len(values)} more have no meaning" if len(values) < len(measured) else ""
        if values:
            spread = f"{number(values[0])} to {number(values[-1])}, median {number(values[len(values) // 2])}"
            yield self.name, f"faithfulness {spread} over {len(values)} ways to measure it{without}"
        elif measured:
            yield self.name, f"faithfulness has no meaning in any of {len(measured)} ways to measure it"

    def frame(self) -> "pd.DataFrame":
        return self.to_frame()

    def draw(self, path: Path, *, circuit: str, prompts: str) -> None:
        draw_specification(self.to_frame(), path, own=self.own, title=circuit)


PART = SpecificationCurve
