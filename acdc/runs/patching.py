"""Patching from a model's and a task's names: maps of nodes, of paths, of a trace, kept in a folder and drawn."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from acdc.interpret.patching_maps import PROBABILITY, NodeMap, causal_trace, clean_batch, effects, node_maps, path_maps
from acdc.metrics import get_metric
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY, N_PATCHED, OUT, PATCHED, SEED
from acdc.patching.direction import DIRECTIONS
from acdc.progress import announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import PromptBatch, PromptPair
from acdc.runs.arguments import Arguments, resolve_arguments
from acdc.runs.folders import check_writable
from acdc.runs.parity import check_parity
from acdc.runs.patching_files import PatchedMaps, record_of, slug, written

__all__ = ["patch", "patch_paths", "trace"]

logger = logging.getLogger(__name__)


def patch(
    model: Any,
    task: Any,
    *,
    sites: Sequence[str] = PATCHED,
    directions: Sequence[str] = DIRECTIONS,
    metric: str | Sequence[str] | None = None,
    columns: str | None = None,
    window: int = 1,
    nodes: Sequence[str] = (),
    edges: Sequence[str] = (),
    n: int = N_PATCHED,
    out: str | Path | None = OUT,
    progress: Progressing = False,
    **others: Any,
) -> PatchedMaps:
    """The maps of some sites; or, where nodes or edges are named, the exact effects of these.

    Args:
        model, task: As for `acdc.discover`.
        sites, directions, columns, window: See `node_maps`.
        metric: One or several, which share the runs; if None `logit_diff`, or `nll` where there are no wrong answers.
        nodes, edges: See `effects`.
        out: Where the folder is made; None writes nothing.
        progress: True for a bar, or a function of a `Progress`.
        others: `seed`, `bos`, `memory`, `task_options` and whatever else `acdc.discover` takes for loading.

    Raises:
        ACDCError: An argument, the model or the task can't be used.
    """
    asked: dict[str, Any] = {"sites": list(sites), "columns": columns, "window": window}
    if nodes or edges:
        asked = {"nodes": list(nodes), "edges": list(edges)}

    options: dict[str, Any] = {"directions": directions, "metric": metric, "n": n, "out": out, **others}
    if nodes or edges:
        return _run("effects", effects, asked, model, task, progress=progress, **options)
    return _run("nodes", node_maps, asked, model, task, progress=progress, **options)


def patch_paths(
    model: Any,
    task: Any,
    receivers: Sequence[str],
    *,
    senders: Sequence[str] | None = None,
    through: str = "mlps",
    directions: Sequence[str] = DIRECTIONS,
    metric: str | Sequence[str] | None = None,
    n: int = N_PATCHED,
    out: str | Path | None = OUT,
    progress: Progressing = False,
    **others: Any,
) -> PatchedMaps:
    """The maps of paths from senders to receivers: see `path_maps`; all else as for `patch`.

    Raises:
        ACDCError: An argument, the model or the task can't be used.
    """
    asked = {"receivers": list(receivers), "senders": None if senders is None else list(senders), "through": through}

    options: dict[str, Any] = {"directions": directions, "metric": metric, "n": n, "out": out, **others}
    return _run("paths", path_maps, asked, model, task, progress=progress, **options)


def trace(
    model: Any,
    task: Any,
    subject: str,
    *,
    samples: int = 10,
    noise: float = 3.0,
    window: int = 10,
    columns: str | None = None,
    metric: str | Sequence[str] | None = None,
    n: int = N_PATCHED,
    seed: int = SEED,
    out: str | Path | None = OUT,
    progress: Progressing = False,
    **others: Any,
) -> PatchedMaps:
    """Causal tracing of a task's clean prompts: see `causal_trace`.

    Args:
        task: As for `acdc.discover`; or a prompt with its right answers, as `(prompt, answers)`.
        metric: The probability of the right answers if None.
        others: As for `patch`.

    Raises:
        ACDCError: An argument, the model or the task can't be used, or the model answers wrongly.
    """
    asked: dict[str, Any] = {"samples": samples, "noise": noise, "window": window, "columns": columns, "seed": seed}
    alone = isinstance(task, tuple) and len(task) == 2 and isinstance(task[0], str)
    named = [PromptPair(task[0], task[0], task[1])] if alone else task
    _check_metrics(metric)
    arguments = resolve_arguments(model, named, metric="kl", n=n, seed=seed, **others)
    _check_out(out)
    with shown(progress) as tell:
        announce(tell, f"loading {arguments.model.name}")
        loaded = arguments.model.load()
        batch = clean_batch(loaded.tokenizer, task[:1], task[1:]) if alone else _batch(arguments, loaded)
        options: dict[str, Any] = {
            "metrics": metric or PROBABILITY,
            "memory": arguments.memory or MEMORY,
            "progress": tell,
        }
        found = causal_trace(loaded, batch, subject, **asked, **options)
    told = {"subject": subject, **asked, "metric": found.maps[0].metric, "n": batch.n}
    told |= {"deviation": found.deviation, "skipped": list(found.skipped)}
    name = slug(task[0]) if alone else arguments.task.name
    return written(PatchedMaps(found.maps, record_of("trace", name, arguments, told, batch)), out)


def _run(
    what: str,
    function: Callable[..., tuple[NodeMap, ...]],
    asked: dict[str, Any],
    model: Any,
    task: Any,
    *,
    directions: Sequence[str],
    metric: str | Sequence[str] | None,
    n: int,
    out: str | Path | None,
    progress: Progressing,
    **others: Any,
) -> PatchedMaps:
    """Load, patch, write."""
    _check_metrics(metric)
    arguments = resolve_arguments(model, task, metric="kl", n=n, **others)
    _check_out(out)
    with shown(progress) as tell:
        announce(tell, f"loading {arguments.model.name}")
        loaded = arguments.model.load()
        batch = _batch(arguments, loaded)
        chosen = metric or ("logit_diff" if bool((batch.wrong >= 0).any(1).all()) else "nll")
        options: dict[str, Any] = {"metrics": chosen, "memory": arguments.memory or MEMORY, "progress": tell}
        maps = function(loaded, batch, directions=tuple(directions), **asked, **options)
    told = asked | {"directions": list(directions), "metric": chosen, "n": batch.n, "seed": arguments.seed}
    return written(PatchedMaps(maps, record_of(what, arguments.task.name, arguments, told, batch)), out)


def _check_metrics(metric: str | Sequence[str] | None) -> None:
    """Raise `UnknownNameError` where a metric isn't known, before anything is loaded."""
    for name in (metric,) if isinstance(metric, str) else metric or ():
        get_metric(name)


def _check_out(out: str | Path | None) -> None:
    if out is not None:
        check_writable(Path(out).expanduser())


def _batch(arguments: Arguments, model: PatchableModel) -> PromptBatch:
    """The prompts, on which the model is computed as Hugging Face computes it."""
    problem = arguments.problem(model)
    check_parity(problem)
    for note in problem.batch.notes:
        logger.warning("%s", note)
    return problem.batch
