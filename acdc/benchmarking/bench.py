"""Run methods on models whose circuit is known, and keep each result, so that a stopped benchmark continues."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from acdc.benchmarking.contestants import Contestant, contestants
from acdc.benchmarking.kept import Failed, Measured, Question, load_result
from acdc.benchmarking.known import Known, known_circuits
from acdc.benchmarking.ranking import THRESHOLDS, rank
from acdc.benchmarking.recovery import compare, strongest
from acdc.circuits.circuit import Circuit
from acdc.circuits.recovery import roc_auc
from acdc.discovery import default_metric
from acdc.errors import ACDCError, FileError, ModelError, RunError
from acdc.files import write_csv, write_json
from acdc.metrics import get_metric
from acdc.models import PatchableModel
from acdc.models.hub import check_reachable
from acdc.models.source import find_model
from acdc.options.defaults import DIRECTION, N_PROMPTS, OUT, POSITIONS, SEED
from acdc.options.ranges import Count, Seed, checked
from acdc.patching.direction import DENOISED, DENOISING, check_direction, directed
from acdc.patching.problem import Problem
from acdc.progress import Progress, Tell
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import check_count
from acdc.prompts.positions import SPANS, check_positions, split_as
from acdc.runs.arguments import check_denoising
from acdc.runs.fingerprint import fingerprint, model_identity, versions
from acdc.runs.folders import check_writable, runs_folder
from acdc.task import load_task

__all__ = ["benchmark"]

logger = logging.getLogger(__name__)

DEFAULTS = (POSITIONS, DIRECTION)


def benchmark(
    models: list[str] | None = None,
    methods: list[str] | None = None,
    *,
    n: int = N_PROMPTS,
    seed: int = SEED,
    metric: str | None = None,
    signed: bool = False,
    positions: str = POSITIONS,
    direction: str = DIRECTION,
    out: str | Path | None = f"{OUT}/benchmark",
    resume: bool = True,
    progress: Progressing = None,
) -> list[dict[str, Any]]:
    """Recover known circuits by every method.

    Args:
        models: Names of models with known circuits; all bundled ones if None. `gpt2` is loaded only when named here.
        methods: Names of discovery methods, perhaps with options (`eap rules=gim`); all, and their variants, if None.
        n: Number of prompt pairs.
        seed: Seed of the prompts and of whatever a method draws.
        metric: Metric of discovery; if None, the one that `discover` takes: see `default_metric`.
        signed: Rank by signed scores, not by their size.
        positions: `all`: whole edges. `spans`: edges split by the spans at which the true ones are known to act; where
            only whole edges are known, the circuit is left out with a warning.
        direction: `noising` or `denoising`: see `acdc.patching.direction`.
        out: Where results are kept, as `<out>/<task>/<model>/<method>/result.json` (`<task>-spans-denoising` where it
            was asked so), with `benchmark.json` and `benchmark.csv` of them all; None writes nothing.
        resume: Take results of equal arguments, weights, prompts and versions from there.
        progress: True shows a bar; a function is called with a `Progress` as the work proceeds.

    Returns:
        A row for each known circuit and method: `auc` of the ranking (see `acdc.circuits.recovery.roc_auc`), `own` (the
        circuit that the method chooses, beside the true one), `at_true_size` (its highest-ranking edges, as many as the
        true circuit has), `cost`, `seconds`; `error` where the method can't work on this problem. `method` is its name
        with the options that aren't its defaults.
        Nothing but times differs between two runs.

    Raises:
        UnknownNameError: No such model, method, option, metric, positions or direction.
        RunError: `out` can't be written, n or seed is out of range, or positions are `each`: no truth says these.
        ModelError: A model can't be loaded; one that can't be downloaded is left out with a warning.
    """
    for name, given in (("models", models), ("methods", methods)):
        if given is not None and not given:
            raise RunError(f"{name} is empty; give None for all")
    circuits, chosen = known_circuits(models), contestants(methods)
    asked = _asked(n, seed, metric, signed, positions, direction)
    if asked.positions == SPANS:
        circuits = [known for known in circuits if _has_spans(known)]
    if out is not None:
        check_writable(Path(out))
    rows: list[dict[str, Any]] = []
    with shown(progress) as tell:
        for i, known in enumerate(circuits):
            model = _load(known, tell)
            if model is None:
                continue
            for j, contestant in enumerate(chosen):
                here = Progress(0, 0, stage=f"{known.name} by {contestant.name}")
                here = replace(here, part=i * len(chosen) + j + 1, n_parts=len(circuits) * len(chosen))
                bench = _Bench(known, model, contestant, asked)
                rows.append(bench.result(None if out is None else Path(out), resume, _staged(tell, here)))
    if out is not None:
        _write_all(Path(out), rows)
    return rows


@dataclass(frozen=True)
class _Asked:
    """What is the same for every circuit and method: see `benchmark`."""

    n: int
    seed: int
    metric: str | None
    signed: bool
    positions: str
    direction: str


def _asked(n: int, seed: int, metric: str | None, signed: bool, positions: str, direction: str) -> _Asked:
    """The same, checked."""
    n, seed = checked("n", Count, n), checked("seed", Seed, seed)
    check_count(n)
    if metric is not None:
        get_metric(metric)
    check_direction(direction)
    if check_positions(positions) not in (POSITIONS, SPANS):
        raise RunError(
            f"known circuits say at which spans an edge acts, not at which positions: positions must be {POSITIONS!r} "
            f"or {SPANS!r}, not {positions!r}"
        )
    return _Asked(n, seed, metric, signed, positions, direction)


def _has_spans(known: Known) -> bool:
    """Whether a circuit is known by span; a warning says where it isn't."""
    if not known.spans:
        logger.warning("%s is left out: its circuit is known by whole edges alone, not by span", known.name)
    return bool(known.spans)


def _load(known: Known, progress: Tell | None) -> PatchableModel | None:
    """The model, or None where it would have to be downloaded and can't be."""
    if progress is not None:
        progress(Progress(0, 0, stage=f"loading {known.model}"))
    if find_model(known.model).on_hub:
        try:
            check_reachable(known.model)
        except ModelError as error:
            logger.warning("%s is left out: %s", known.name, error)
            return None
    return PatchableModel.from_pretrained(known.model)


def _staged(tell: Tell | None, here: Progress) -> Tell | None:
    """Progress whose stages say which model and method they belong to."""
    if tell is None:
        return None
    tell(here)
    return lambda p: tell(replace(p, stage=f"{here.stage}: {p.stage}", part=here.part, n_parts=here.n_parts))


class _Bench:
    """One known circuit and one method."""

    def __init__(self, known: Known, model: PatchableModel, contestant: Contestant, asked: _Asked) -> None:
        self.known, self.model, self.contestant, self.asked = known, model, contestant, asked
        task = load_task(known.task, **known.task_options)
        spans = known.spans if asked.positions == SPANS else ()
        self.batch = split_as(task.batch(model.tokenizer, asked.n, asked.seed), spans)
        self.metric = asked.metric or default_metric(task, contestant.method, asked.direction)
        self.truth = known.circuit(model.graph.split(spans))

    @property
    def fingerprint(self) -> str:
        """Names all that the result depends on."""
        return fingerprint(
            {
                "model": model_identity(self.model),
                "truth": list(self.truth.edges),
                "prompts": self.batch.fingerprint,
                "method": self.contestant.method.name,
                "options": self.contestant.options,
                "taus": THRESHOLDS,
                "metric": self.metric,
                "seed": self.asked.seed,
                "signed": self.asked.signed,
                "direction": self.asked.direction,
                "versions": versions(),
            }
        )

    def result(self, out: Path | None, resume: bool, progress: Tell | None) -> dict[str, Any]:
        """The row, from the folder where it is, else made and kept there."""
        if out is None:
            return self.make(progress)
        asked = "-".join(word for word in (self.asked.positions, self.asked.direction) if word not in DEFAULTS)
        what = "-".join(filter(None, (self.known.reference or self.known.task, asked)))
        folder = runs_folder(out, what, self.known.model, self.contestant.name)
        mark, path = self.fingerprint, folder / "result.json"
        if resume and (kept := _kept(path, mark)) is not None:
            return kept
        row = self.make(progress, folder)
        write_json(path, {"fingerprint": mark, "row": row})
        return row

    def make(self, progress: Tell | None, folder: Path | None = None) -> dict[str, Any]:
        """The row; a method that can't work on this problem says why."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            method, given = self.contestant.method, self.contestant.given
            ranked = rank(method, self._problem(), options=given, signed=self.asked.signed, progress=progress)
        except ACDCError as error:
            return asdict(Failed(**vars(self.question), error=str(error)))
        provenance = {"task": self.known.task, "model": self.known.model, "method": self.contestant.name}
        graph = self.truth.graph
        circuit = Circuit(graph, ranked.mask, ranked.values, provenance)
        if folder is not None:
            circuit.save(folder / "circuit.json")
        best = strongest(circuit, self.truth.n_edges, self.truth.mask)
        row = Measured(
            **vars(self.question),
            auc=roc_auc(circuit, self.truth.mask),
            own=compare(graph, ranked.mask, self.truth.mask),
            at_true_size=compare(graph, best, self.truth.mask),
            cost=dict(ranked.cost),
            ranking_cost=dict(ranked.ranking_cost),
            seconds=round(ranked.seconds, 3),
            ranking_seconds=round(ranked.ranking_seconds, 3),
        )
        return asdict(row)

    def _problem(self) -> Problem:
        """What is searched.

        Raises:
            RunError: The method can't search in this direction.
        """
        if self.asked.direction == DENOISING:
            check_denoising(self.contestant.method, DENOISED)
        problem = Problem.make(self.model, self.batch, metric=self.metric, seed=self.asked.seed)
        return directed(problem, self.asked.direction)

    @property
    def question(self) -> Question:
        """What is asked."""
        return Question(
            model=self.known.model,
            task=self.known.task,
            known_by=self.known.how,
            reference=self.known.reference,
            method=self.contestant.name,
            metric=self.metric,
            n_prompts=self.batch.n,
            seed=self.asked.seed,
            signed=self.asked.signed,
            positions=self.asked.positions,
            direction=self.asked.direction,
            n_edges=self.truth.graph.n_edges,
            n_true=self.truth.n_edges,
        )


def _kept(path: Path, mark: str) -> dict[str, Any] | None:
    """A former result of this fingerprint; None where there is none, or, with a warning, where the file is damaged."""
    if not path.exists():
        return None
    try:
        return load_result(path, mark)
    except FileError as error:
        logger.warning("%s; it is made again", error)
        return None


def _write_all(out: Path, rows: list[Mapping[str, Any]] | list[dict[str, Any]]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "benchmark.json", rows)
    write_csv(out / "benchmark.csv", pd.json_normalize(rows, sep="_"))
