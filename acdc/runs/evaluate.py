"""All evidence about one circuit: from a saved run to a report, part by part."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from acdc.circuits.circuit import Circuit
from acdc.defaults import ALPHA, CORRECTION, EPSILON, LEVEL, N_HELD_OUT, N_RANDOM, QUANTILE, SEED
from acdc.errors import ACDCError, FileError, RunError
from acdc.evaluation.parts import PARTS
from acdc.evaluation.recording import Recorder
from acdc.evaluation.work import Settings, Work
from acdc.files import plain
from acdc.patching.problem import Problem
from acdc.progress import Progress, Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.ranges import Range, checked
from acdc.runs.evaluation_folder import EvaluationFolder
from acdc.runs.evaluation_report import Evaluation
from acdc.runs.fingerprint import fingerprint, versions
from acdc.runs.folders import check_writable
from acdc.runs.rediscover import search_again
from acdc.runs.reload import ReloadedRun, reload
from acdc.runs.result import RunResult

__all__ = ["evaluate"]


def evaluate(
    run: str | Path | RunResult | Circuit,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    prompts: str = "held-out",
    n: int | None = None,
    seed: int = SEED,
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
    **world: Any,
) -> Evaluation:
    """Gather the evidence that a saved circuit is real.

    Args:
        run: A run's folder, a folder with runs (the newest), a circuit file, a `RunResult` or a `Circuit`.
        only, skip: Which parts of `acdc.evaluation.PARTS` to measure; by default all but `stability`.
        prompts: `held-out` (the task's prompts for judging) or `discovery` (those that the circuit was found on).
        n: How many prompts; by default 100 held-out ones, or as many as the run had.
        seed: Seed of the held-out prompts and of all that is drawn.
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
        progress: True shows a bar; a function is called with a `Progress` as the work proceeds.
        world: Model, task and loading options instead of the run's own: see `acdc.runs.reload.reload`.

    Returns:
        The report, also as frames and in words; the circuit isn't changed.

    Raises:
        ACDCError: An argument, the run, its model or its task can't be used.

    >>> from acdc import evaluate
    >>> print(evaluate("outputs/ioi").summary())  # doctest: +SKIP
    """
    chosen = _chosen(only, skip, stability)
    asked = Settings.check(
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
        }
    )
    with shown(progress) as tell:
        announce(tell, "loading the model")
        reloaded = reload(run, **world)
        place = (reloaded.beside if out is None else Path(out).expanduser()) if save else None
        if place is not None:
            check_writable(place)
        if asked["n"] is None:
            asked["n"] = N_HELD_OUT if prompts == "held-out" else reloaded.arguments.n
        if tau is None:
            asked["tau"] = reloaded.tau
        work, warnings = _work(reloaded, Settings(**asked), stability)
        report = _opening(work, reloaded, warnings)
        folder = None if place is None else EvaluationFolder(place, report["fingerprint"], resume=resume)
        work.searcher = lambda: search_again(reloaded, folder)
        for i, name in enumerate(chosen, 1):
            if folder is not None:  # another process may have finished it meanwhile
                report["parts"] = folder.parts() | report["parts"]
            known = report["parts"].get(name)
            if known and "left_out" not in known and PARTS[name].is_done(known, work):
                continue
            work.step = _telling(tell, name, i, len(chosen))
            with _checkpoint(folder, name) as checkpoint:
                work.recorder = Recorder(checkpoint, work.shared)
                report["parts"][name] = _measured(work, name)
                if folder is not None:
                    report["parts"] = folder.keep(report)
        report["parts"] = {name: report["parts"][name] for name in PARTS if name in report["parts"]}
        found = Evaluation(reloaded.circuit, report)
        return found if folder is None else folder.finish(found)


def _chosen(only: Sequence[str], skip: Sequence[str], stability: int) -> list[str]:
    """The parts to measure, in the order of the report."""
    for name in (*only, *skip):
        PARTS.find(name)
    checked("stability", Annotated[int, Range(0, 1000, why="how often to search again, 0 for not at all")], stability)
    if "stability" in only and not stability:
        raise RunError("part 'stability' needs the number of repetitions (stability=5, --stability 5)")
    wanted = [name for name, part in PARTS.items() if (name in only if only else part.by_default)]
    if stability and "stability" not in wanted:
        wanted.append("stability")
    chosen = [name for name in wanted if name not in skip]
    if not chosen:
        raise RunError("nothing is left to evaluate: every part is skipped")
    return chosen


def _work(reloaded: ReloadedRun, settings: Settings, k: int) -> tuple[Work, list[str]]:
    """What the parts share, and what is to be said of the prompts."""
    discovery, warning = reloaded.discovery_problem()
    same = settings.prompts == "discovery" and settings.n == discovery.batch.n
    problem = discovery if same else _problem(reloaded, settings)
    known = reloaded.prompts_sha256 == discovery.batch.fingerprint
    notes = dict.fromkeys((*discovery.batch.notes, *problem.batch.notes))
    work = Work(
        circuit=reloaded.circuit,
        problem=problem,
        discovery=discovery,
        n_seen=problem.batch.n_shared(discovery.batch) if known else None,
        settings=settings,
        arguments=reloaded.arguments.to_json(),
        ablation=reloaded.ablation,
        k=k,
        problem_of_seed=lambda seed: reloaded.problem(seed=seed),
        searcher=lambda: search_again(reloaded, None),
    )
    return work, [*reloaded.warnings, *([warning] if warning else []), *notes]


def _problem(reloaded: ReloadedRun, settings: Settings) -> Problem:
    held_out = settings.prompts == "held-out"
    seed = settings.seed if held_out else reloaded.arguments.seed
    return reloaded.problem(n=settings.n, seed=seed, held_out=held_out)


def _telling(tell: Tell | None, name: str, place: int, n_parts: int) -> Callable[[int, int], None]:
    """How the part tells how far it is."""

    def step(done: int, total: int) -> None:
        if tell is not None:
            tell(Progress(done, total, stage=name, unit=PARTS[name].unit, part=place, n_parts=n_parts))

    return step


def _checkpoint(folder: EvaluationFolder | None, name: str) -> AbstractContextManager[Any]:
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
        "metric": reloaded.metric.name,
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
        "task": reloaded.task.name,
        "ablation": reloaded.ablation,
        "prompts": work.prompts,
        **identity,
        "warnings": list(warnings),
        "parts": {},
    }
