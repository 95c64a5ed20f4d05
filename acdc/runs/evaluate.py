"""All evidence about one circuit: from a saved run to a report, part by part."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.errors import ACDCError, FileError, counted
from acdc.evaluation.parts import PARTS
from acdc.evaluation.recording import Recorder
from acdc.evaluation.work import Settings, Work
from acdc.files import plain
from acdc.options.defaults import ALPHA, CORRECTION, EPSILON, LEVEL, N_RANDOM, QUANTILE, SEED
from acdc.progress import Progress, Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.ranks import ALONE, Ranks
from acdc.runs.evaluation_folder import Parts
from acdc.runs.evaluation_forecast import PartForecast, cost_words, forecasts, measured_speed, total_of
from acdc.runs.evaluation_report import Evaluation
from acdc.runs.evaluation_setup import chosen_parts, shared_work
from acdc.runs.fingerprint import fingerprint, versions
from acdc.runs.folders import check_writable
from acdc.runs.learning import learned_again
from acdc.runs.page import refresh_page
from acdc.runs.rediscover import search_again
from acdc.runs.reload import ReloadedRun, reload
from acdc.runs.result import RunResult
from acdc.runs.shared_evaluation import SharedFolder

__all__ = ["evaluate"]


def evaluate(
    run: str | Path | RunResult | Circuit,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    prompts: str = "held-out",
    n: int | None = None,
    seed: int = SEED,
    thorough: bool = False,
    stability: int = 0,
    n_random: int = N_RANDOM,
    level: float = LEVEL,
    alpha: float = ALPHA,
    epsilon: float = EPSILON,
    q: float = QUANTILE,
    correction: str = CORRECTION,
    tau: float | None = None,
    save: bool = True,
    out: str | Path | None = None,
    resume: bool = True,
    progress: Progressing = None,
    ranks: Ranks = ALONE,
    **world: Any,
) -> Evaluation:
    """Gather the evidence that a saved circuit is real.

    Args:
        run: A run's folder, a folder with runs (the newest), a circuit file, a `RunResult` or a `Circuit`.
        only, skip: Which parts of `acdc.evaluation.PARTS` to measure; by default all but `stability` that take no more
            than a minute together, or 60 times forward and backward where that is longer. What is left out is told.
        prompts: `held-out` (the task's prompts for judging) or `discovery` (those that the circuit was found on).
        n: How many prompts; by default 100 held-out ones (in models of more than 20,000 edges, unless `thorough`, no
            more than the run had), or as many discovery prompts as the run had.
        seed: Seed of the held-out prompts and of all that is drawn.
        thorough: Measure all parts, however long they take, and shorten none.
        stability: How many times to find the circuit again on other prompts; 0 for not at all.
        n_random: Random circuits of each kind in `sufficiency`; `minimality` draws twice as many random edges.
        level: Coverage of the intervals.
        alpha: Level of the tests.
        epsilon: How far from 1/2 the share of won prompts may be for circuit and model to count as equivalent.
        q: The share of random circuits, or edges, that the circuit, or an edge, must be beyond.
        correction: Of p-values for the number of edges tested: holm, bh or by.
        tau: The certificate's threshold, in the metric's unit; the run's own if None.
        save: Whether to write anything.
        out: Where to; `evaluation/` beside the run's files if None.
        resume: Take over finished parts of an earlier evaluation with the same circuit, prompts and settings.
        progress: True shows a bar; a function is called with a `Progress` as the work proceeds. Of several processes
            the first tells.
        ranks: The processes that share the work, as `acdc.ranks.joined` gives them: see `docs/scale.md`.
        world: Model, task and loading options instead of the run's own: see `acdc.runs.reload.reload`.

    Returns:
        The report, also as frames and in words; the circuit isn't changed.

    Raises:
        ACDCError: An argument, the run, its model or its task can't be used.

    >>> from acdc import evaluate
    >>> print(evaluate("outputs/ioi").summary())  # doctest: +SKIP
    """
    chosen = chosen_parts(only, skip, stability)
    given = Settings.check(
        {
            "prompts": prompts,
            "n": n,
            "seed": seed,
            "n_random": n_random,
            "level": level,
            "alpha": alpha,
            "epsilon": epsilon,
            "q": q,
            "correction": correction,
            "tau": tau,
            "thorough": thorough,
        }
    )
    with shown(progress if ranks.is_first else None) as tell:
        announce(tell, "loading the model")
        reloaded = reload(run, **world)
        reloaded = replace(reloaded, arguments=replace(reloaded.arguments, ranks=ranks))
        place = (reloaded.beside if out is None else Path(out).expanduser()) if save else None
        if place is not None and ranks.is_first:
            check_writable(place)
        reloaded = learned_again(reloaded, place, tell)
        work, warnings = shared_work(reloaded, given, stability, tell)
        report = _opening(work, reloaded, warnings)
        folder = None if place is None else SharedFolder(ranks, place, report["fingerprint"], resume=resume)
        work.searcher = lambda: search_again(reloaded, folder)
        plan = _planned(chosen, work, folder, tell, all_of_them=thorough or bool(only))
        report["parts"] = _all_measured(plan, work, report, folder, tell)
        found = Evaluation(reloaded.circuit, report)
        if folder is None:
            return found
        written = folder.finish(found)
        if out is None and ranks.is_first:
            refresh_page(folder.path.parent)
        return written


def _planned(
    chosen: Sequence[str], work: Work, folder: SharedFolder | None, tell: Tell | None, *, all_of_them: bool
) -> Sequence[PartForecast]:
    """What the chosen parts will cost, and which of them are too costly; nothing is timed where all lie in the folder.

    Parts that were asked for aren't timed beforehand unless they make the runs anyway by which that is done: what lies
    in the folder may answer all of their questions.
    """
    parts = {} if folder is None else folder.parts()
    is_new = not all(_is_measured(name, parts, work) for name in chosen)
    is_timed = is_new and (not all_of_them or any(PARTS[name].shares_outcomes for name in chosen))
    if is_timed:
        announce(tell, "timing a forward pass")
    speed = measured_speed(work) if is_timed else None
    speed = work.problem.ranks.by_first(lambda: speed)  # clocks differ, and all must leave out the same
    plan = forecasts(chosen, work, speed=speed, all_of_them=all_of_them or not is_new)
    if tell is not None and is_new:
        n = sum(part.left_out is None for part in plan)
        tell(Progress(0, 0, stage=counted(n, "part"), note=cost_words(*total_of(plan))))
    return plan


def _is_measured(name: str, parts: Parts, work: Work) -> bool:
    """Whether what is known of a part already answers this evaluation."""
    known = parts.get(name, {"left_out": "nothing is known"})
    return "left_out" not in known and PARTS[name].is_done(known, work)


def _all_measured(
    plan: Sequence[PartForecast],
    work: Work,
    report: Mapping[str, Any],
    folder: SharedFolder | None,
    tell: Tell | None,
) -> Parts:
    """The parts of the plan, and those that lie in the folder, in the order of a report; each is kept as soon as it is
    measured."""
    parts: Parts = {}
    measured = [part for part in plan if part.left_out is None]
    for i, part in enumerate(measured, 1):
        name = part.name
        if folder is not None:  # another process may have finished it meanwhile
            parts = folder.parts() | parts
        if _is_measured(name, parts, work):
            continue
        work.step = _telling(tell, name, i, len(measured))
        if tell is not None:
            costs = cost_words(part.forward_passes, part.seconds)
            tell(Progress(0, 0, stage=name, part=i, n_parts=len(measured), note=costs))
        with _checkpoint(folder, name) as checkpoint:
            work.recorder = Recorder(checkpoint, work.shared)
            parts[name] = _measured(work, name)
            if folder is not None:
                parts = folder.keep({**report, "parts": parts})
    if folder is not None:
        parts = folder.parts() | parts
    left_out = {part.name: {"left_out": part.left_out, "seconds": 0.0} for part in plan if part.left_out is not None}
    parts = left_out | parts
    return {name: parts[name] for name in PARTS if name in parts}


def _telling(tell: Tell | None, name: str, place: int, n_parts: int) -> Callable[[int, int], None]:
    """How the part tells how far it is."""

    def step(done: int, total: int) -> None:
        if tell is not None:
            tell(Progress(done, total, stage=name, unit=PARTS[name].unit, part=place, n_parts=n_parts))

    return step


def _checkpoint(folder: SharedFolder | None, name: str) -> AbstractContextManager[Any]:
    """Where what is measured in the block is kept, so that an interrupted one continues there."""
    return nullcontext() if folder is None else folder.checkpoint(name)


def _measured(work: Work, name: str) -> dict[str, Any]:
    """What the report holds of a part: what was measured, or why nothing could be; and the seconds that it took."""
    start = time.monotonic()
    work.step(0, 0)
    try:
        found = PARTS[name].measure(work).values()
    except FileError:  # a full disk says nothing about the circuit
        raise
    except ACDCError as error:
        found = {"left_out": str(error)}
    return {**plain(found), "seconds": round(time.monotonic() - start, 3)}


def _opening(work: Work, reloaded: ReloadedRun, warnings: Sequence[str]) -> dict[str, Any]:
    """What the report says of circuit, model and prompts, and the fingerprint of all that decides its numbers."""
    circuit = reloaded.circuit
    scores = b"" if circuit.scores is None else circuit.scores.numpy().tobytes()
    identity = {
        "circuit_sha256": hashlib.sha256(work.mask.numpy().tobytes() + scores).hexdigest(),
        "arguments": dict(work.arguments),
        "metric": reloaded.arguments.metric.name,
        "model": dict(reloaded.identity),
        "settings": asdict(work.settings),
        "prompts_sha256": {"evaluation": work.problem.batch.fingerprint, "discovery": work.discovery.batch.fingerprint},
        "versions": versions(),
    }
    return {
        "fingerprint": fingerprint(identity),
        "circuit": {
            "n_edges": circuit.n_edges,
            "n_edges_of_model": circuit.graph.n_edges,
            "n_nodes": len(circuit.nodes),
            "flipped_scores": bool(circuit.provenance.get("flipped_scores", False)),
        },
        "task": reloaded.arguments.task.name,
        "ablation": reloaded.arguments.ablation,
        "prompts": work.prompts,
        **identity,
        "warnings": list(warnings),
        "parts": {},
    }
