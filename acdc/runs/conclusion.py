"""What a finished run says: what its circuit does, what holds of it, how it was made, and what to beware of."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.discovery import DiscoveryResult
from acdc.errors import ACDCError
from acdc.evaluation import measure
from acdc.prompts.batch import PromptBatch
from acdc.runs.folders import Workspace
from acdc.runs.preparation import Prepared
from acdc.runs.result import RunResult

__all__ = ["Conclusion", "conclude"]

logger = logging.getLogger(__name__)

HASHES = ("revision", "weights_sha256", "tokenizer_sha256")


class Conclusion(NamedTuple):
    """A run's result, not yet written, and the prompts that it was judged on, where the task has any to give."""

    result: RunResult
    held_out: PromptBatch | None


def conclude(prepared: Prepared, found: DiscoveryResult, workspace: Workspace | None) -> Conclusion:
    """Measure what a search found, on its own prompts and on held-out ones, and say how it was made."""
    metrics, held_out = _measured(prepared, found.mask)
    prepared.clock.lap("measuring")
    record = _record(prepared, found, workspace) | {"prompts": _prompts(prepared, held_out)}
    record["warnings"] = list(dict.fromkeys([*record["prompts"]["notes"], *_warnings(found, metrics)]))
    graph = prepared.problem.graph
    circuit = Circuit(graph, found.mask, found.scores, _provenance(record), found.score_kind)
    return Conclusion(RunResult(circuit, metrics, record), held_out)


def _measured(prepared: Prepared, mask: Bool[Tensor, "src dst"]) -> tuple[dict[str, Any], PromptBatch | None]:
    """The circuit's metrics; under `held_out` those on as many prompts that the search did not see, None without any.

    `n_seen` counts those that it did see after all, because the task gave them again.
    """
    problem, metrics = prepared.problem, measure(prepared.problem, mask)
    try:
        held_out = prepared.arguments.problem(problem.model, held_out=True)
    except ACDCError as error:
        logger.warning("the circuit was not measured on held-out prompts: %s", error)
        return {**metrics, "held_out": None}, None
    others = {**measure(held_out, mask), "n_seen": held_out.batch.n_shared(problem.batch)}
    return {**metrics, "held_out": others}, held_out.batch


def _record(prepared: Prepared, found: DiscoveryResult, workspace: Workspace | None) -> dict[str, Any]:
    """What `run.json` holds."""
    arguments, clock = prepared.arguments, prepared.clock
    return {
        "id": None if workspace is None else workspace.path.name,
        "fingerprint": prepared.fingerprint,
        "started": clock.started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": clock.read(),
        "resumed": workspace is not None and workspace.checkpoint.recorded > 0,
        **prepared.identity,
        "given": {"model": arguments.model.name, "task": arguments.task_given},
        "task": {"name": arguments.task.name, "summary": arguments.task.summary, "source": arguments.task.source},
        "parity": prepared.parity,
        "cost": dict(found.cost),
        "claims": dict(found.guarantees),
        "evidence": dict(found.diagnostics),
        "resolved": dict(found.resolved),
    }


def _prompts(prepared: Prepared, held_out: PromptBatch | None) -> dict[str, Any]:
    """How many prompts were asked for, what was put before them, and what else is to be known of them."""
    batch = prepared.problem.batch
    return {
        "n": batch.n_pairs,
        "n_asked": prepared.arguments.n,
        "n_held_out": 0 if held_out is None else held_out.n_pairs,
        "before": list(batch.before),
        "notes": list(dict.fromkeys([*batch.notes, *(() if held_out is None else held_out.notes)])),
    }


def _warnings(found: DiscoveryResult, metrics: Mapping[str, Any]) -> list[str]:
    """What the search and the measurements warn of; of the held-out prompts, what isn't said of the others too."""
    told = [*found.warnings, *metrics.get("warnings", ())]
    held_out = (metrics["held_out"] or {}).get("warnings", ())
    return [*told, *(f"on held-out prompts: {warning}" for warning in held_out if warning not in told)]


def _provenance(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the circuit itself carries of the record: nothing that differs between two equal runs."""
    arguments = dict(record["arguments"])
    options = arguments.pop("options")
    hashes = {name: record["model"][name] for name in HASHES}
    resolved = {"resolved": record["resolved"]} if record["resolved"] else {}
    own = {name: record[name] for name in ("prompts_sha256", "claims")}
    return {**arguments, **options, **hashes, **own, **resolved}
