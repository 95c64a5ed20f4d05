"""The search for a feature circuit: what decides it, what it finds, and what it found before."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from acdc.errors import FileError
from acdc.features import Dictionary
from acdc.features.circuits import (
    FeatureCircuit,
    FeatureEvidence,
    Shift,
    evaluate,
    find,
    load_feature_circuit,
    shift,
)
from acdc.features.circuits.finding import record_of
from acdc.features.circuits.steps import Step
from acdc.features.similarity import alike_in_circuit
from acdc.files import as_dataclass, read_json
from acdc.patching.problem import Problem
from acdc.progress import Tell, announce
from acdc.runs.arguments import Arguments
from acdc.runs.fingerprint import dictionary_hash, fingerprint, model_identity, versions
from acdc.runs.folders import runs_folder
from acdc.version import __version__

__all__ = ["CIRCUIT", "EVIDENCE", "FoundFeatures", "Search"]

logger = logging.getLogger(__name__)

CIRCUIT, EVIDENCE = "feature_circuit.json", "evidence.json"
Before = tuple[FeatureCircuit, FeatureEvidence | None]


@dataclass(frozen=True, eq=False)
class FoundFeatures:
    """A feature circuit, what it does on held-out prompts, and where it was written.

    Attributes:
        evidence: None if none was asked for.
        shift: What taking the named features out does, on the same prompts; None if none was named.
        record: What was asked.
        path: The folder; None if nothing was to be written.
    """

    circuit: FeatureCircuit
    evidence: FeatureEvidence | None
    shift: Shift | None
    record: dict[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        return {"circuit": self.circuit.to_dict()} | self.numbers()

    def numbers(self) -> dict[str, Any]:
        """What was asked and measured, without the circuit."""
        return {
            "record": self.record,
            "evidence": None if self.evidence is None else self.evidence.to_dict(),
            "without": None if self.shift is None else self.shift.to_dict(),
        }


@dataclass(frozen=True, eq=False)
class Search:
    """All that decides what is found."""

    arguments: Arguments
    problem: Problem
    read: Sequence[Dictionary]
    options: dict[str, Any]
    without: tuple[str, ...]
    n_held_out: int
    alike: float

    def found(self, step: Step, tell: Tell | None, before: Before | None = None) -> FoundFeatures:
        """The circuit, and what it does on held-out prompts.

        Args:
            before: Both, if they were found before.
        """
        problem, read, memory = self.problem, self.read, self.arguments.memory
        circuit, evidence = before or (None, None)
        if circuit is None:
            circuit = find(problem, read, memory=memory, step=step, progress=tell, **self.options)
        circuit = replace(circuit, alike=alike_in_circuit(circuit, read, self.alike, problem))
        if not self.n_held_out or (evidence is not None and not self.without):
            return FoundFeatures(circuit, evidence, None, self.record)
        as_used = self.arguments.as_used(problem)
        held_out = as_used.problem(problem.model, n=self.n_held_out, held_out=True, engines=())
        if evidence is None:
            evidence = evaluate(circuit, held_out, read, seen=problem.batch, memory=memory, step=step, progress=tell)
        return FoundFeatures(
            circuit, evidence, _without(held_out, read, self.without, self.arguments, tell), self.record
        )

    @cached_property
    def record(self) -> dict[str, Any]:
        """All that was asked."""
        left_out = ("method", "options", "ablation")
        asked = {key: value for key, value in self.arguments.to_json().items() if key not in left_out}
        return {
            "made_with": f"acdc {__version__}",
            "arguments": asked | {"without": list(self.without), "n_held_out": self.n_held_out},
            "options": self.options,
            "dictionaries": [asdict(record_of(each)) for each in self.read],
            "prompts_sha256": self.problem.batch.fingerprint,
            "notes": list(self.problem.batch.notes),
        }

    def folder(self, out: Path) -> Path:
        """Where it is kept below `out`, whatever features are taken out."""
        arguments = {key: value for key, value in self.record["arguments"].items() if key != "without"}
        runs = runs_folder(out, self.problem.batch.task, self.problem.model.name, "features")
        return runs / f"circuit-{fingerprint(self.record | {'arguments': arguments})[:10]}"

    @cached_property
    def identity(self) -> str:
        """A fingerprint of what its folder is named by, of weights and of programs."""
        identity = {
            "folder": self.folder(Path()).name,
            "model": model_identity(self.problem.model),
            "dictionaries": [dictionary_hash(each) for each in self.read],
            "memory": self.arguments.memory,
            "versions": versions(),
        }
        return fingerprint(identity)

    def before(self, folder: Path) -> Before | None:
        """The circuit and its evidence, if a finished search of the same lies in its folder; with the groups that a
        reader made."""
        try:
            told = read_json(folder / EVIDENCE) if (folder / EVIDENCE).is_file() else {}
            if not isinstance(told, dict) or told.get("fingerprint") != self.identity:
                return None
            circuit, evidence = load_feature_circuit(folder / CIRCUIT), told.get("evidence")
            what = f"{folder / EVIDENCE} is damaged"
            found = None if evidence is None else as_dataclass(FeatureEvidence, evidence, what=what)
        except FileError as error:
            logger.warning("%s; it is searched again", error)
            return None
        logger.warning("this was found before: it is taken from %s", folder)
        return circuit, found


def _without(
    problem: Problem, read: Sequence[Dictionary], names: Sequence[str], arguments: Arguments, tell: Tell | None
) -> Shift | None:
    if not names:
        return None
    announce(tell, "taking features out")
    return shift(problem, read, names, bos=arguments.bos, memory=arguments.memory)
