"""An evaluation as a value: in words, as frames, and in files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acdc.circuits.circuit import Circuit, model_words
from acdc.evaluation.part import Line, Part
from acdc.evaluation.parts import PARTS
from acdc.evaluation.report import part_of
from acdc.files import write_csv

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WRITTEN", "Evaluation", "write_evaluation"]

EDGES = "edges.csv"
WRITTEN = (EDGES, *(f"{part.name}.{kind}" for part in PARTS.values() for kind in part.kinds))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found out about a circuit.

    Attributes:
        circuit: The circuit, as it was.
        report: What `evaluation.json` holds: circuit, model, settings, warnings, and `parts` by name, each with
            `n_prompts`, `forward_passes` and `seconds`, or with `left_out` and the reason.
        path: The folder; None if nothing was written.
        files: What was written.
    """

    circuit: Circuit
    report: Mapping[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    def part(self, name: str) -> Mapping[str, Any] | None:
        """A part's result; None if it wasn't measured or couldn't be."""
        found = self.report["parts"].get(name)
        return None if found is None or "left_out" in found else found

    @cached_property
    def measured(self) -> Mapping[str, Part]:
        """The parts that were measured, by name.

        Raises:
            FileError: The report holds something else for a part than it should.
        """
        found = {name: part_of(name, values) for name, values in self.report["parts"].items()}
        return {name: part for name, part in found.items() if part is not None}

    def curve_frame(self) -> "pd.DataFrame | None":
        """Faithfulness against size: one row a size and ranking."""
        return self._frame("curve")

    def specification_frame(self) -> "pd.DataFrame | None":
        """One row a way to measure."""
        return self._frame("specification")

    def _frame(self, name: str) -> "pd.DataFrame | None":
        return self.measured[name].frame() if name in self.measured else None

    def edges_frame(self) -> "pd.DataFrame":
        """One row a kept edge, and a removed one that a part says something of: what is known of it.

        `score` is the run's. `effect_discovery` and `effect` are exact knock-out effects on the discovery and the
        evaluation prompts: the rise of the loss when the edge alone is removed; `effect_largest` is the size of the
        largest change, with other nodes removed too. `p_redundant`, `p_needed` and `verdict` are the minimality
        test's; `inclusion` is the share of the circuits found again that keep the edge.
        """
        import pandas as pd

        columns = {column: values for part in self.measured.values() for column, values in part.edges().items()}
        kept, scores = set(self.circuit.edges), self.circuit.scores
        names = dict.fromkeys([*self.circuit.edges, *(name for values in columns.values() for name in values)])
        rows = [{"edge": name, "kept": name in kept} for name in names]
        for row in rows:
            name = str(row["edge"])
            if scores is not None:
                row["score"] = float(scores[self.circuit.graph.parse_edge(name)])
            row |= {column: values.get(name) for column, values in columns.items()}
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """The evaluation in some lines of plain text."""
        facts = list(_facts(self))
        width = max(len(name) for name, _ in facts) + 2
        return "\n".join([_title(self.report), *(f"  {name:<{width}}{text}" for name, text in facts)])

    def to_dict(self) -> dict[str, Any]:
        """The report, and where it is."""
        files = [str(file) for file in self.files]
        return {**self.report, "path": None if self.path is None else str(self.path), "files": files}

    def _repr_html_(self) -> str:
        from acdc.drawing.notebook import facts_html

        return facts_html(_title(self.report), _facts(self))

    def __repr__(self) -> str:
        return f"Evaluation({self.circuit!r}; {', '.join(self.report['parts'])})"

    def __str__(self) -> str:
        return self.summary()


def write_evaluation(evaluation: Evaluation, folder: Path) -> Evaluation:
    """Write tables and figures into `folder`; the evaluation with where they are."""
    files = [write_csv(folder / EDGES, evaluation.edges_frame())]
    circuit, prompts = _named(evaluation.report), evaluation.report["prompts"]["text"]
    for name, part in evaluation.measured.items():
        for kind in part.kinds:
            path = folder / f"{name}.{kind}"
            if kind == "csv":
                write_csv(path, part.frame())
            else:
                part.draw(path, circuit=circuit, prompts=prompts)
            files.append(path)
    return replace(evaluation, path=folder, files=tuple(files))


def _title(report: Mapping[str, Any]) -> str:
    return f"{_named(report)}: evaluated on {report['prompts']['text']} (seed {report['settings']['seed']})"


def _named(report: Mapping[str, Any]) -> str:
    return f"{report['task']} on {model_words(report['model']['name'])}"


def _facts(evaluation: Evaluation) -> Iterator[Line]:
    """Names and lines, part by part."""
    report, parts = evaluation.report, evaluation.measured
    circuit = report["circuit"]
    yield "edges", f"{circuit['n_edges']:,} of {circuit['n_edges_of_model']:,}, {circuit['n_nodes']} nodes"
    if circuit.get("flipped_scores"):
        yield "scores", "taken with the opposite sign"
    for warning in (*report["warnings"], *(caution for part in parts.values() for caution in part.cautions())):
        yield "warning", warning
    for name, values in report["parts"].items():
        if name in parts:
            yield from parts[name].lines()
        else:
            yield name, f"left out: {values['left_out']}"
    passes = {name: values.get("forward_passes") or 0 for name, values in report["parts"].items()}
    shared = max((passes.pop(name) for name, part in parts.items() if part.shares_outcomes), default=0)
    seconds = sum(values["seconds"] for values in report["parts"].values())
    yield "cost", f"{sum(passes.values()) + shared:,} forward passes, {seconds:.1f} s"
