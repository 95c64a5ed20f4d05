"""A run's search again, on other prompts: what it finds is kept beside an evaluation for the next time."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.patching.problem import Problem
from acdc.runs.arguments import Arguments
from acdc.runs.fingerprint import fingerprint, versions
from acdc.runs.reload import ReloadedRun
from acdc.runs.shared_evaluation import SharedFolder

__all__ = ["search_again"]


def search_again(reloaded: ReloadedRun, folder: SharedFolder | None) -> Callable[[Problem], Circuit]:
    """The run's search as a function of a problem; its circuits' provenance has `forward_passes` (None if not counted).

    Args:
        folder: Where circuits are kept, and taken from where they were found in the same way before.

    Raises:
        RunError: The run doesn't say by which method its circuit was found.
    """
    arguments = reloaded.arguments.checked_options()

    def search(problem: Problem) -> Circuit:
        made_of = _identity(reloaded, arguments, problem)
        key = fingerprint(made_of)
        path = None if folder is None else folder.path / "stability" / f"seed-{problem.seed}.json"
        before = arguments.ranks.by_first(lambda: _found_before(path, problem, key))
        if before is not None:
            return before
        kept = nullcontext() if folder is None else folder.checkpoint(f"stability-seed-{problem.seed}", key)
        with kept as checkpoint:
            found = arguments.search(problem, checkpoint=checkpoint)
        origin = made_of | {"task": arguments.task.name, "model": problem.model.name, "fingerprint": key}
        origin |= {"forward_passes": found.cost.get("forward_passes")}
        circuit = Circuit(problem.graph, found.mask, found.scores, origin, found.score_kind)
        if path is not None and arguments.ranks.is_first:
            path.parent.mkdir(parents=True, exist_ok=True)
            circuit.save(path)
        return circuit

    return search


def _found_before(path: Path | None, problem: Problem, key: str) -> Circuit | None:
    """The circuit that was kept, if it was found in the same way."""
    if path is None or not path.is_file():
        return None
    before = Circuit.load(path, problem.graph)
    return before if before.provenance.get("fingerprint") == key else None


def _identity(reloaded: ReloadedRun, arguments: Arguments, problem: Problem) -> dict[str, Any]:
    """All that decides what the search finds."""
    return {
        "method": arguments.method,
        "options": dict(arguments.options),
        "seed": problem.seed,
        "metric": arguments.metric.name,
        "ablation": arguments.ablation,
        "direction": arguments.direction,
        "prompts_sha256": problem.batch.fingerprint,
        "weights_sha256": reloaded.identity["weights_sha256"],
        "versions": versions(),
    }
