"""The arguments of a run: every name resolved and every default filled in before anything heavy is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from acdc.discovery import METHODS, Checkpoint, DiscoveryResult, Method, check_options, default_metric, get_method
from acdc.discovery.attribution.scores import check_gradient
from acdc.errors import RunError
from acdc.metrics import Metric, get_metric
from acdc.models import PatchableModel
from acdc.options.defaults import ABLATION, DIRECTION, N_PROMPTS, POSITIONS, SEED
from acdc.options.ranges import Seed, checked
from acdc.options.sizes import size_of
from acdc.patching.ablations import ABLATIONS
from acdc.patching.activations import NodeOutputs
from acdc.patching.direction import DENOISED, DENOISING, NOISING, check_direction, directed
from acdc.patching.footprint import Engine, check_footprint
from acdc.patching.problem import Problem
from acdc.progress import Progress, Tell
from acdc.prompts.batch import PromptPair, check_count
from acdc.prompts.positions import check_positions, split_as, split_by
from acdc.ranks import ALONE, Ranks
from acdc.runs.model_spec import ModelSpec
from acdc.runs.places import task_place
from acdc.runs.prompt_file import PROMPTS
from acdc.task import PromptFile, PromptList, Task, load_task

__all__ = ["Arguments", "check_denoising", "checked_settings", "given_name", "resolve_arguments"]

MEASURED_BY_NOISING = (
    "the circuit was found by denoising and is measured by noising, in which it need not be enough alone: of what is "
    "needed together it may hold a part"
)


@dataclass(frozen=True, eq=False)
class Arguments:
    """What decides the result of a run, complete; `to_json` is what `run.json` and an evaluation's report hold.

    Attributes:
        task_given: The task's name as it was given: a registered one, `file.py:Class` or `module:Class`; that of the
            file of prompts where a list was given.
        method: The discovery method's name; None where a circuit doesn't say which one found it.
        options: All options of the method.
        ablation: What a removed edge carries: a name in `acdc.patching.ablations.ABLATIONS`.
        direction: From which side the circuit is looked for: see `acdc.patching.direction`. The problem itself is that
            of noising, in which every circuit is measured; `search` turns it.
        n: How many prompt pairs to ask the task for.
        bos: Whether prompts start with a BOS token; as the tokenizer or the task has it if None.
        n_asked: Where the task gave fewer prompts, how many it was asked for; `n` is then how many there are.
        memory: About how many bytes a step may take; what each engine takes by default if None.
        ranks: The processes that share the work; they decide nothing.
        learned: What the ablation has learned, if it learns; a problem learns it anew if None.
        positions: By which spans edges are split: see `acdc.prompts.positions`.
        spans: Those spans, once the run's prompts have told them; other prompts are split by the same.
    """

    model: ModelSpec
    task: Task
    task_given: str
    task_options: Mapping[str, Any]
    method: str | None
    options: Mapping[str, Any]
    metric: Metric
    ablation: str
    n: int
    seed: int
    bos: bool | None = None
    n_asked: int | None = None
    memory: int | None = None
    ranks: Ranks = ALONE
    learned: NodeOutputs | None = None
    direction: str = DIRECTION
    positions: str = POSITIONS
    spans: tuple[str, ...] = ()

    @property
    def must_learn(self) -> bool:
        """Whether the ablation has still to learn what removed edges carry."""
        return ABLATIONS[self.ablation].learns and self.learned is None

    def problem(
        self,
        model: PatchableModel,
        *,
        n: int | None = None,
        seed: int | None = None,
        held_out: bool = False,
        engines: tuple[Engine, ...] | None = None,
        tell: Tell | None = None,
    ) -> Problem:
        """The task's problem in this model, on the run's own prompts or, if anything is given, on others.

        Args:
            engines: What will work on it, for its memory; the method's own if None.
            tell: Told how much memory that will take.

        Raises:
            TaskError: The task can't make such prompts, or they don't fit the model.
            ModelError: The model's logits aren't finite, or the run doesn't fit into memory.
        """
        n, seed = self.n if n is None else n, self.seed if seed is None else seed
        batch = self.task.batch(model.tokenizer, n, seed, held_out=held_out, bos=self.bos)
        batch = split_as(batch, self.spans) if self.spans else split_by(batch, self.positions)
        model.check_batch(batch)
        needed = check_footprint(model, batch, self._engines if engines is None else engines, self.memory)
        if tell is not None:
            tell(Progress(0, 0, stage="memory", note=str(needed)))
        return Problem.make(
            model,
            batch,
            metric=self.metric,
            ablation=self.ablation,
            seed=seed,
            memory=self.memory,
            ranks=self.ranks,
            learned=self.learned,
        )

    @property
    def _engines(self) -> tuple[Engine, ...]:
        return () if self.method is None else get_method(self.method).engines

    def search(
        self, problem: Problem, *, checkpoint: Checkpoint | None = None, progress: Tell | None = None
    ) -> DiscoveryResult:
        """What the method finds in a problem, looked at in the run's direction."""
        assert self.method is not None, "a method is named where something is searched"
        turned = directed(problem, self.direction)
        found = get_method(self.method).search(turned, checkpoint=checkpoint, progress=progress, **self.options)
        return found if turned is problem else _with_restored(found, turned)

    def checked_options(self) -> "Arguments":
        """The same, with the recorded options read as those of the method as it is now.

        Raises:
            RunError: The method isn't known, or an option has another type or bounds now.
            UnknownNameError: There is no such method or option any more.
        """
        if self.method is None:
            raise RunError("the circuit doesn't say which method found it, so it can't be found again")
        return replace(self, options=check_options(get_method(self.method), self.options))

    def as_used(self, problem: Problem) -> "Arguments":
        """The same, with the number of prompts that the task gave and the dtype and device that the model has."""
        n, model = problem.batch.n_pairs, self.model.as_loaded(problem.model)
        return replace(self, model=model, n=n, n_asked=None if n == self.n else self.n, spans=problem.graph.spans)

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold of them, places in full."""
        return {
            "model": self.model.recorded,
            "task": task_place(self.task_given),
            "task_name": self.task.name,
            "task_options": {} if self.task_given == PROMPTS else dict(self.task_options),
            "method": self.method,
            "metric": self.metric.name,
            "ablation": self.ablation,
            "direction": self.direction,
            **({} if self.positions == POSITIONS else {"positions": self.positions}),
            "n": self.n,
            **({} if self.task.digest is None else {"task_sha256": self.task.digest}),
            **({} if self.n_asked is None else {"n_asked": self.n_asked}),  # a task may draw fewer in another way
            "seed": self.seed,
            "bos": self.bos,
            **self.model.to_json(),
            "options": dict(self.options),
        }


def resolve_arguments(
    model: Any,
    task: str | Task | type[Task] | Sequence[PromptPair],
    *,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    metric: str | Metric | None = None,
    ablation: str = ABLATION,
    direction: str = DIRECTION,
    positions: str = POSITIONS,
    n: int = N_PROMPTS,
    seed: int = SEED,
    bos: bool | None = None,
    memory: int | str | None = None,
    ranks: Ranks = ALONE,
    **loading: Any,
) -> Arguments:
    """All arguments, checked, with their defaults; see `acdc.discover` for what they mean.

    Args:
        model: See `ModelSpec.of`; the task's default model if None.
        method: None where nothing is to be searched.
        metric: The task's own if None, or the one that the method needs: see `default_metric`.
        memory: About how many bytes a step may take: a number, or text like 2 GB; the method's own default if None.
        ranks: The processes that share the work.
        loading: `tokenizer`, `dtype` and whatever else `ModelSpec.of` takes.

    Raises:
        ACDCError: A name isn't known, a number is out of range, or two arguments don't go together.
    """
    if ranks.n > 1 and loading.get("device_map") not in (None, "offload"):
        raise RunError("several processes take a GPU each (--device cuda): --device-map can't be given with them")
    chosen = None if method is None else get_method(method)
    room, options = size_of("memory", memory), options or {}
    if room is not None and chosen is not None and "memory" in chosen.options:
        options = {"memory": room, **options}
    filled = {} if chosen is None else check_options(chosen, options)
    made = load_task(task, **(task_options or {}))
    settings = checked_settings(ablation, n, seed, bos, direction, positions)
    if chosen is not None and direction == DENOISING:
        check_denoising(chosen, settings["ablation"])
    return Arguments(
        task=made,
        task_given=given_name(task, made),
        task_options=made.options if isinstance(made, PromptFile) else task_options or {},
        method=None if chosen is None else chosen.name,
        options=filled,
        metric=_metric(metric, made, chosen, direction),
        memory=room,
        ranks=ranks,
        model=ModelSpec.of(made.default_model if model is None else model, **loading),  # may ask the hub, so it is last
        **settings,
    )


def checked_settings(
    ablation: str, n: int, seed: int, bos: bool | None, direction: str, positions: str
) -> dict[str, Any]:
    """These arguments by name, each checked.

    Raises:
        UnknownNameError: There is no such ablation, direction or way to split by positions.
        TaskError: `n` is out of range.
        RunError: The seed is out of range, or `bos` is neither True, False nor None.
    """
    kind = ABLATIONS.find(ablation).name
    check_direction(direction)
    check_count(n)
    if bos is not None and not isinstance(bos, bool):
        raise RunError(f"bos must be True, False or None (as the tokenizer does), not {bos!r}")
    seed, positions = checked("seed", Seed, seed), check_positions(positions)
    return {"ablation": kind, "direction": direction, "positions": positions, "n": n, "seed": seed, "bos": bos}


def check_denoising(method: Method, ablation: str) -> None:
    """Raise `RunError` where the method or the ablation doesn't allow denoising."""
    if method.noising_only:
        others = ", ".join(name for name, each in METHODS.items() if not each.noising_only)
        raise RunError(f"method {method.name!r} can't look for a circuit by denoising; these can: {others}")
    if ablation != DENOISED:
        raise RunError(
            f"direction 'denoising' runs the corrupted prompts, so it needs ablation {DENOISED!r}, not {ablation!r}"
        )


def _with_restored(found: DiscoveryResult, turned: Problem) -> DiscoveryResult:
    """What was found by denoising, with the share of the metric that comes back when all other edges are restored."""
    whole = turned.empty_loss - turned.model_loss
    rise = turned.loss(turned.logits(found.mask)) - turned.model_loss
    restored = {"restored_by_others": rise / whole} if whole else {}
    cost = {**found.cost, "forward_passes": found.cost.get("forward_passes", 0) + 2}
    warnings = (*found.warnings, MEASURED_BY_NOISING)
    return replace(found, diagnostics={**found.diagnostics, **restored}, cost=cost, warnings=warnings)


def _metric(metric: str | Metric | None, task: Task, method: Method | None, direction: str) -> Metric:
    at_clean = method is not None and method.at_clean and direction == NOISING  # no metric is flat at the corrupted run
    if metric is None:
        metric = task.metric if method is None else default_metric(task, method, direction)
    used = get_metric(metric)
    if method is not None and at_clean:
        check_gradient(used, method.name)
    return used


def given_name(task: Any, made: Task) -> str:
    """How a task can be named again; pairs that were given lie in the run's folder, in the file of this name."""
    if isinstance(made, PromptList):
        return PROMPTS
    if isinstance(made, PromptFile):
        return str(made.path.resolve())
    return task if isinstance(task, str) else f"{type(made).__module__}:{type(made).__qualname__}"
