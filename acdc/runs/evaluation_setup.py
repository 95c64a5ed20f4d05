"""What an evaluation is asked for, checked, and what its parts will work on: all before anything is measured."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from acdc.errors import RunError
from acdc.evaluation.parts import PARTS
from acdc.evaluation.work import Settings, Work
from acdc.options.ranges import Range, checked
from acdc.patching.problem import Problem
from acdc.progress import Tell
from acdc.runs.rediscover import search_again
from acdc.runs.reload import ReloadedRun

__all__ = ["chosen_parts", "shared_work"]


def chosen_parts(only: Sequence[str], skip: Sequence[str], stability: int) -> list[str]:
    """The parts to measure, in the order of the report.

    Args:
        only, skip: Names of parts; without `only`, all that are measured by default.
        stability: How many times to find the circuit again.

    Raises:
        UnknownNameError: There is no such part.
        RunError: Nothing is left, or `stability` is out of range, or missing where its part is asked for.
    """
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


def shared_work(
    reloaded: ReloadedRun, given: Mapping[str, Any], k: int, tell: Tell | None = None
) -> tuple[Work, list[str]]:
    """What the parts share, and what is to be said of the prompts.

    Args:
        given: Settings by name; None for `n` and `tau` stands for the run's own.
        k: How many times to find the circuit again.
        tell: Told how much memory the evaluation will take.
    """
    n_edges = reloaded.circuit.graph.n_edges
    settings = Settings.of(given, n=reloaded.arguments.n, tau=reloaded.threshold, n_edges=n_edges)
    discovery, warning = reloaded.discovery_problem(tell)
    same = settings.prompts == "discovery" and settings.n == discovery.batch.n_pairs
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
        ablation=reloaded.arguments.ablation,
        k=k,
        problem_of_seed=lambda seed: reloaded.problem(seed=seed),
        searcher=lambda: search_again(reloaded, None),
    )
    return work, [*reloaded.warnings, *([warning] if warning else []), *notes]


def _problem(reloaded: ReloadedRun, settings: Settings) -> Problem:
    held_out = settings.prompts == "held-out"
    seed = settings.seed if held_out else reloaded.arguments.seed
    return reloaded.problem(n=settings.n, seed=seed, held_out=held_out)
