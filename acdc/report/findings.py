"""What a page is made from: saved results, of which any but the circuit may be missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.evaluation.part import Part
from acdc.evaluation.report import part_of
from acdc.interpret.explanation import Explanation, PromptCard

__all__ = ["Findings"]


@dataclass(frozen=True, eq=False)
class Findings:
    """What is known of a circuit.

    Attributes:
        title: Task, model and method in words; by default what the circuit's provenance says.
        record, metrics: What a run's `run.json` and `metrics.json` hold.
        evaluation: What `evaluation.json` holds.
        prompts: The prompts token by token, in the order of the metrics' predictions; what is predicted isn't in them.
    """

    circuit: Circuit
    title: str = ""
    record: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None
    evaluation: Mapping[str, Any] | None = None
    explanation: Explanation | None = None
    prompts: Sequence[PromptCard] = ()

    @property
    def name(self) -> str:
        """The page's title."""
        return self.title or self.circuit.origin or "a circuit"

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """The parts of the evaluation that were measured, by name.

        Raises:
            FileError: The report holds something else for a part than it should.
        """
        reported = {} if self.evaluation is None else self.evaluation["parts"]
        found = {name: part_of(name, values) for name, values in reported.items()}
        return {name: part for name, part in found.items() if part is not None}
