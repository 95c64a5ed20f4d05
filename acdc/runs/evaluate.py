"""All evidence about one circuit: from a saved run to a report, part by part."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from acdc import evaluation
from acdc.circuits.circuit import Circuit
from acdc.circuits.overlap import jaccard
from acdc.defaults import SEED
from acdc.discovery import DiscoveryResult, check_options, get_method
from acdc.errors import ACDCError, FileError, RunError, unknown_name
from acdc.evaluation.held_out import prompts_text
from acdc.evaluation.meaning import cautions, no_meaning
from acdc.evaluation.recording import Recorder
from acdc.evaluation.statistics import CORRECTIONS
from acdc.evaluation.values import performance_metric
from acdc.files import plain
from acdc.patching.problem import Problem
from acdc.progress import Progress, Tell
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import MAX_PAIRS
from acdc.ranges import Range, Seed, checked
from acdc.runs.evaluation_folder import EvaluationFolder
from acdc.runs.evaluation_report import Evaluation
from acdc.runs.fingerprint import fingerprint, versions
from acdc.runs.folders import check_writable
from acdc.runs.reload import ReloadedRun, reload
from acdc.runs.result import RunResult

__all__ = ["PARTS", "PROMPTS", "Part", "evaluate"]

PROMPTS = ("held-out", "discovery")
N_HELD_OUT = 100
Result = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What an evaluation is told; the same settings on the same circuit give the same numbers."""

    prompts: str
    n: int
    seed: int
    n_random: int
    level: float
    alpha: float
    epsilon: float
    q: float
    correction: str
    tau: float | None


class _Work:
    """What the parts share, each made when it is first asked for."""

    def __init__(self, reloaded: ReloadedRun, settings: Settings, k: int, tell: Tell | None) -> None:
        self.reloaded, self.settings, self.k, self.tell = reloaded, settings, k, tell
        self.circuit, self.mask = reloaded.circuit, reloaded.circuit.mask
        self.part, self.place, self.recorder = "", (0, 0), Recorder()
        self.folder: EvaluationFolder | None = None
        self.discovery, warning = reloaded.discovery_problem()
        self.warnings = [*reloaded.warnings, *([warning] if warning else [])]
        same = settings.prompts == "discovery" and settings.n == self.discovery.batch.n
        self.problem = self.discovery if same else self._problem()
        self.warnings += dict.fromkeys((*self.discovery.batch.notes, *self.problem.batch.notes))
        known = reloaded.prompts_sha256 == self.discovery.batch.fingerprint
        self.n_seen = self.problem.batch.n_shared(self.discovery.batch) if known else None

    def _problem(self) -> Problem:
        held_out = self.settings.prompts == "held-out"
        seed = self.settings.seed if held_out else self.reloaded.arguments["seed"]
        return self.reloaded.problem(n=self.settings.n, seed=seed, held_out=held_out)

    @property
    def prompts(self) -> Result:
        """What the prompts of the evaluation are, in numbers and in words."""
        n, seen = self.problem.batch.n, self.n_seen
        own = self.settings.prompts == "discovery" and seen in (n, None)
        text = f"{n} discovery prompts" if own else prompts_text(n, seen)
        return {"n": n, "n_seen": seen, "asked": self.settings.prompts, "text": text}

    @cached_property
    def outcomes(self) -> evaluation.Outcomes:
        return evaluation.outcomes_of(self.problem, self.mask)

    def step(self, done: int, total: int) -> None:
        """Tell how far the part is."""
        if self.tell is not None:
            unit, (part, n_parts) = PARTS[self.part].unit, self.place
            self.tell(Progress(done, total, stage=self.part, unit=unit, part=part, n_parts=n_parts))

    def along(self, before: int, total: int) -> evaluation.Step:
        """`step` for one stretch of a part: `before` is done when it starts, of `total` of the whole part."""
        return lambda done, _: self.step(before + done, total)


def _faithfulness(work: _Work) -> Result:
    s, found = work.settings, work.outcomes
    return {
        "metric": found.metric,
        "intervals": {
            name: {key: asdict(each) for key, each in group.items()}
            for name, group in evaluation.headline(found, level=s.level, seed=s.seed).items()
        },
        "worst_prompts": [asdict(each) for each in evaluation.worst_prompts(work.problem, found)],
        "predictions": [asdict(each) for each in found.predictions],
        "warnings": list(cautions(found)),
        "n_prompts": found.n_prompts,
        "forward_passes": found.forward_passes,
    }


def _certificate(work: _Work) -> Result:
    options = work.reloaded.arguments.get("options", {})
    found = evaluation.certify(
        work.discovery,
        work.mask,
        work.settings.tau,
        absolute=bool(options.get("absolute")),
        recorder=work.recorder,
        progress=work.step,
    )
    return asdict(found)


def _equivalence(work: _Work) -> Result:
    s = work.settings
    found = evaluation.equivalence_test(work.problem, work.outcomes, epsilon=s.epsilon)
    return asdict(found) | {
        "metric": performance_metric(work.problem).name,
        "alpha": s.alpha,
        "differs": found.p_differs <= s.alpha,
        "equivalent": found.p_equivalent <= s.alpha,
        "n_prompts": found.n,
        "forward_passes": work.outcomes.forward_passes,
    }


def _independence(work: _Work) -> Result:
    s = work.settings
    found = evaluation.independence_test(work.problem, work.outcomes, seed=s.seed)
    return asdict(found) | {
        "metric": performance_metric(work.problem).name,
        "alpha": s.alpha,
        "dependent": found.p <= s.alpha,
        "n_prompts": found.n,
        "forward_passes": work.outcomes.forward_passes,
    }


def _sufficiency(work: _Work) -> Result:
    s, found = work.settings, {}
    for i, matched in enumerate(("size", "degree")):
        test = evaluation.sufficiency_test(
            work.problem,
            work.mask,
            matched=matched,
            n_random=s.n_random,
            q=s.q,
            seed=s.seed,
            recorder=work.recorder,
            progress=work.along(i * s.n_random, 2 * s.n_random),
        )
        found[matched] = asdict(test) | {"sufficient": test.sufficient(s.alpha)}
    return {
        **found,
        "alpha": s.alpha,
        "n_prompts": work.problem.batch.n,
        "forward_passes": sum(each["forward_passes"] for each in found.values()),
    }


def _minimality(work: _Work) -> Result:
    s = work.settings
    n_needs = evaluation.n_knock_outs(work.problem, work.mask, seed=s.seed)
    total = n_needs + 2 * s.n_random
    needs = evaluation.minimality(
        work.problem, work.mask, seed=s.seed, recorder=work.recorder, progress=work.along(0, total)
    )
    effects = torch.full(work.mask.shape, torch.nan, dtype=torch.float64)
    for name, need in needs.edges.items():
        effects[work.circuit.graph.parse_edge(name)] = need.alone
    test = evaluation.minimality_test(
        work.problem,
        work.mask,
        effects,
        n_random=2 * s.n_random,
        q=s.q,
        alpha=s.alpha,
        correction=s.correction,
        seed=s.seed,
        recorder=work.recorder,
        progress=work.along(n_needs, total),
    )
    return {
        "needs": asdict(needs),
        "test": asdict(test),
        "n_prompts": work.problem.batch.n,
        "forward_passes": needs.forward_passes + test.forward_passes,
    }


def _completeness(work: _Work) -> Result:
    found = evaluation.completeness(
        work.problem, work.mask, seed=work.settings.seed, recorder=work.recorder, progress=work.step
    )
    return asdict(found)


def _curve(work: _Work) -> Result:
    if work.circuit.scores is None:
        raise RunError("the circuit has no scores, so its edges can't be ranked")
    graph, scores = work.circuit.graph, work.circuit.scores
    sizes, few = evaluation.curve_sizes(graph), sorted({*evaluation.mib_sizes(graph.n_edges)})
    total = 2 * len(sizes) + len(few)

    def measured(i: int, scores: Tensor, sizes: Sequence[int], ranking: str, complement: bool) -> evaluation.Curve:
        stretch = work.along(i * len(sizes), total) if i < 2 else work.along(total - len(sizes), total)
        return evaluation.curve(
            work.problem,
            scores,
            ranking=ranking,
            sizes=sizes,
            complement=complement,
            seed=work.settings.seed,
            recorder=work.recorder,
            progress=stretch,
        )

    signed = measured(0, scores, sizes, "signed", True)
    absolute = measured(1, scores, sizes, "absolute", False)
    reversed = measured(2, -scores, few, "signed", False)
    return {
        "signed": asdict(signed),
        "absolute": asdict(absolute),
        "areas": evaluation.areas(signed, absolute),
        "ties": {each.ranking: _ties(each) for each in (signed, absolute)},
        **_reversed(signed, reversed),
        "metric": signed.metric,
        "circuit": _mark(work),
        "n_prompts": signed.n_prompts,
        "forward_passes": signed.forward_passes + absolute.forward_passes + reversed.forward_passes,
    }


def _reversed(signed: evaluation.Curve, reversed: evaluation.Curve) -> Result:
    """What the opposite ranking does, and a warning where it does better: some tools' scores have the other sign."""
    own, other = (evaluation.mib_cpr(each) for each in (signed, reversed))
    found: Result = {"reversed_cpr": other}
    name = signed.metric
    if name in own and other[name] > own[name]:
        found["warning"] = (
            f"the reversed ranking does better (CPR {other[name]:.3f} against {own[name]:.3f} by {name}): the scores "
            "may have the opposite sign; --flip-scores (flip_scores=True) turns them"
        )
    return found


def _ties(found: evaluation.Curve) -> Result:
    """How many sizes leave open which of equal scores they take, and over how many orders their numbers are means."""
    tied = [point["n_tied"] for point in found.points if point["n_tied"]]
    return {"n_sizes": len(tied), "largest": max(tied, default=0), "orders": len(found.orders)}


def _mark(work: _Work) -> Result:
    """The circuit itself, as a point of the curve."""
    own, values = work.outcomes.metric, work.outcomes.values
    means = {who: float(each.mean()) for who, each in values[own].items()}
    faithfulness = evaluation.normalised(means["circuit"], means["model"], means["corrupted"])
    reason = no_meaning(values[own]["model"], values[own]["corrupted"], rounding=work.outcomes.rounding)
    return {
        "n_edges": work.circuit.n_edges,
        "faithfulness": faithfulness,
        "no_meaning": reason,
        "value": means["circuit"],
    }


def _specification(work: _Work) -> Result:
    problems = {"discovery": work.discovery}
    if work.problem is not work.discovery:
        problems["held-out" if work.n_seen == 0 else work.prompts["text"]] = work.problem
    found = evaluation.specifications(
        problems, work.mask, seed=work.settings.seed, recorder=work.recorder, progress=work.step
    )
    own = {"prompts": "discovery", "ablation": work.reloaded.ablation, "direction": "noising"}
    return asdict(found) | {
        "own": own | {"granularity": "edges", "metric": work.reloaded.metric.name},
        "n_prompts": {name: problem.batch.n for name, problem in problems.items()},
    }


def _stability(work: _Work) -> Result:
    reloaded, graph, passes = work.reloaded, work.problem.model.graph, list[int | None]()
    method = reloaded.arguments["method"]
    if method is None:
        raise RunError("the circuit doesn't say which method found it, so it can't be found again")
    options = check_options(get_method(method), reloaded.arguments.get("options", {}))

    def discover(problem: Problem) -> Circuit:
        circuit = _found_again(work, problem, method, options)
        passes.append(circuit.provenance["forward_passes"])
        return circuit

    first = reloaded.arguments["seed"] + 1
    again = reloaded.problem(seed=first).batch
    if again.n_shared(work.discovery.batch) == again.n:
        raise RunError("the task gives the same prompts for every seed, so there are no others to find the circuit on")
    problems = (reloaded.problem(seed=first + i) for i in range(work.k))
    masks = evaluation.rediscover(problems, discover, progress=lambda done: work.step(done, work.k))
    found, near = evaluation.stability(graph, masks), [jaccard(work.mask, mask) for mask in masks]
    kept = found.frequency.nonzero().tolist()
    return {
        "k": work.k,
        "always": found.always,
        "core": found.core,
        "optional": found.optional,
        "jaccard": found.jaccard,
        "least_jaccard": found.least_jaccard,
        "jaccard_with_this": sum(near) / len(near),
        "sizes": found.sizes,
        "frequency": {graph.edge_name(i, j): float(found.frequency[i, j]) for i, j in kept},
        "n_prompts": work.discovery.batch.n,
        "forward_passes": None if None in passes else sum(filter(None, passes)),
    }


def _found_again(work: _Work, problem: Problem, method: str, options: Mapping[str, Any]) -> Circuit:
    """The circuit that the method finds in this problem; kept on disk for the next time."""
    reloaded, graph = work.reloaded, problem.model.graph
    made_of = {
        "method": method,
        "options": dict(options),
        "seed": problem.seed,
        "metric": reloaded.metric.name,
        "ablation": reloaded.ablation,
        "prompts_sha256": problem.batch.fingerprint,
        "weights_sha256": reloaded.identity["weights_sha256"],
        "versions": versions(),
    }
    key = fingerprint(made_of)
    path = None if work.folder is None else work.folder.path / "stability" / f"seed-{problem.seed}.json"
    if path is not None and path.is_file():
        before = Circuit.load(path, graph)
        if before.provenance.get("fingerprint") == key:
            return before
    with _checkpoint(work, f"stability-seed-{problem.seed}", key) as checkpoint:
        found: DiscoveryResult = get_method(method).search(problem, checkpoint=checkpoint, **options)
    passes = found.cost.get("forward_passes")
    origin = made_of | {"task": reloaded.task.name, "model": problem.model.name, "fingerprint": key}
    circuit = Circuit(graph, found.mask, found.scores, origin | {"forward_passes": passes}, found.score_kind)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        circuit.save(path)
    return circuit


@dataclass(frozen=True)
class Part:
    """One part of an evaluation."""

    name: str
    summary: str
    measure: Callable[[_Work], Result]
    unit: str = ""
    by_default: bool = True


PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Part("faithfulness", "all metrics with intervals, and the worst prompts", _faithfulness),
        Part("certificate", "whether every kept edge's exact knock-out effect is at least tau", _certificate, "edges"),
        Part("equivalence", "whether circuit and model beat each other equally often", _equivalence),
        Part("independence", "whether what is left without the circuit still follows the model", _independence),
        Part("sufficiency", "whether it is nearer to the model than random circuits", _sufficiency, "circuits"),
        Part("minimality", "whether every node and edge matters, more than random edges do", _minimality, "knock-outs"),
        Part("completeness", "whether it reacts to damage as the model does", _completeness, "sets"),
        Part("curve", "faithfulness against size, CPR and CMD", _curve, "sizes"),
        Part("specification", "faithfulness under every way to measure it", _specification, "ablations"),
        Part(
            "stability", "how often each edge is found again on other prompts", _stability, "searches", by_default=False
        ),
    )
}


def evaluate(
    run: str | Path | RunResult | Circuit,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    prompts: str = "held-out",
    n: int | None = None,
    seed: int = SEED,
    stability: int = 0,
    n_random: int = 50,
    level: float = 0.95,
    alpha: float = 0.05,
    epsilon: float = 0.1,
    q: float = 0.9,
    correction: str = "holm",
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
        only, skip: Which parts of `PARTS` to measure; by default all but `stability`.
        prompts: `held-out` (the task's prompts for judging) or `discovery` (those that the circuit was found on).
        n: How many prompts; by default 100 held-out ones, or as many as the run had.
        seed: Seed of the held-out prompts and of all that is drawn.
        stability: How many times to find the circuit again on other prompts; 0 for not at all.
        n_random: Random circuits of each kind in `sufficiency`; `minimality` draws twice as many random edges.
        level: Coverage of the intervals.
        alpha: Level of the tests.
        epsilon: How far from 1/2 the share of won prompts may be for circuit and model to count as equivalent.
        q: The share of random circuits, or edges, that the circuit, or an edge, must be beyond.
        correction: For the number of edges tested: holm, bh or by.
        tau: The certificate's threshold; the run's own if None.
        save: Whether to write anything.
        out: Where to; `evaluation/` beside the run's files if None.
        resume: Take over finished parts of an earlier evaluation with the same circuit, prompts and settings.
        progress: True shows a bar; a function is called with a `Progress` as the work goes on.
        world: Model, task and loading options instead of the run's own: see `acdc.runs.reload.recall`.

    Returns:
        The report, also as frames and in words; the circuit isn't changed.

    Raises:
        ACDCError: An argument, the run, its model or its task can't be used.

    >>> from acdc import evaluate
    >>> print(evaluate("outputs/ioi").summary())  # doctest: +SKIP
    """
    chosen = _chosen(only, skip, stability)
    _check(prompts, n, seed, n_random, level, alpha, epsilon, q, correction)
    checked("tau", Annotated[float, Range(0)] | None, tau)
    with shown(progress) as tell:
        if tell is not None:
            tell(Progress(0, 0, stage="loading the model"))
        reloaded = reload(run, **world)
        place = (reloaded.beside if out is None else Path(out).expanduser()) if save else None
        if place is not None:
            check_writable(place)
        default = N_HELD_OUT if prompts == "held-out" else reloaded.arguments["n"]
        settings = Settings(
            prompts=prompts,
            n=default if n is None else n,
            seed=seed,
            n_random=n_random,
            level=level,
            alpha=alpha,
            epsilon=epsilon,
            q=q,
            correction=correction,
            tau=reloaded.tau if tau is None else tau,
        )
        work = _Work(reloaded, settings, stability, tell)
        report = _opening(work)
        if place is not None:
            work.folder = EvaluationFolder(place, report["fingerprint"], resume=resume)
        for i, name in enumerate(chosen, 1):
            if work.folder is not None:  # another process may have finished it meanwhile
                report["parts"] = work.folder.parts() | report["parts"]
            known = report["parts"].get(name, {})
            if known and "left_out" not in known and (name != "stability" or known.get("k") == stability):
                continue
            work.part, work.place = name, (i, len(chosen))
            with _checkpoint(work, name) as checkpoint:
                work.recorder = Recorder(checkpoint)
                report["parts"][name] = _measured(work)
                if work.folder is not None:
                    report["parts"] = work.folder.keep(report)
        report["parts"] = {name: report["parts"][name] for name in PARTS if name in report["parts"]}
        found = Evaluation(reloaded.circuit, report)
        return found if work.folder is None else work.folder.finish(found)


def _checkpoint(work: _Work, name: str, fingerprint: str | None = None) -> AbstractContextManager[Any]:
    """Where what is measured in the block is kept, so that an interrupted one goes on there."""
    return nullcontext() if work.folder is None else work.folder.checkpoint(name, fingerprint)


def _measured(work: _Work) -> Result:
    """The part's result, or why there is none."""
    start = time.monotonic()
    work.step(0, 0)
    try:
        found = PARTS[work.part].measure(work)
    except FileError:  # a full disk says nothing about the circuit
        raise
    except ACDCError as error:
        found = {"left_out": str(error)}
    return plain(found) | {"seconds": round(time.monotonic() - start, 3)}


def _opening(work: _Work) -> dict[str, Any]:
    """What the report says of circuit, model and prompts, and the fingerprint of all that decides its numbers."""
    reloaded, settings, graph = work.reloaded, work.settings, work.circuit.graph
    scores = b"" if work.circuit.scores is None else work.circuit.scores.numpy().tobytes()
    digest = hashlib.sha256(work.mask.numpy().tobytes() + scores).hexdigest()
    identity = {
        "circuit_sha256": digest,
        "arguments": dict(reloaded.arguments),
        "metric": reloaded.metric.name,
        "model": dict(reloaded.identity),
        "settings": asdict(settings),
        "prompts_sha256": {"evaluation": work.problem.batch.fingerprint, "discovery": work.discovery.batch.fingerprint},
        "versions": versions(),
    }
    return {
        "fingerprint": fingerprint(identity),
        "circuit": {
            "n_edges": work.circuit.n_edges,
            "n_edges_of_model": graph.n_edges,
            "n_nodes": len(work.circuit.nodes),
            "flipped_scores": bool(work.circuit.provenance.get("flipped_scores", False)),
        },
        "task": reloaded.task.name,
        "ablation": reloaded.ablation,
        "prompts": work.prompts,
        **identity,
        "warnings": list(work.warnings),
        "parts": {},
    }


def _chosen(only: Sequence[str], skip: Sequence[str], stability: int) -> list[str]:
    for name in (*only, *skip):
        if name not in PARTS:
            raise unknown_name("part of an evaluation", name, PARTS)
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


def _check(
    prompts: str, n: int | None, seed: int, n_random: int, level: float, alpha: float, epsilon: float, q: float, c: str
) -> None:
    if prompts not in PROMPTS:
        raise unknown_name("set of prompts", prompts, PROMPTS)
    if c not in CORRECTIONS:
        raise unknown_name("correction", c, CORRECTIONS)
    checked("n", Annotated[int, Range(2, MAX_PAIRS)] | None, n)
    checked("seed", Seed, seed)
    checked("n_random", Annotated[int, Range(1, 100_000)], n_random)
    for name, share, most in (("level", level, 1.0), ("alpha", alpha, 1.0), ("epsilon", epsilon, 0.5), ("q", q, 1.0)):
        checked(name, Annotated[float, Range(0, most, open_below=True, open_above=True)], share)
