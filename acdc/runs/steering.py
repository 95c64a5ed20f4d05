"""Steering from a model's and a task's names, or a run's: dose against effect, kept in a folder and drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from acdc.drawing import draw_steering
from acdc.errors import RunError, TaskError
from acdc.files import write_csv, write_json
from acdc.interpret.explanation import Steering
from acdc.interpret.labels import LABELS
from acdc.interpret.places import Places, places_of
from acdc.interpret.sections.steering import CHOSEN_ON, table_of
from acdc.interpret.steering import STRENGTHS, Steered, find_direction, random_like, steer_all
from acdc.models import PatchableModel
from acdc.options.defaults import ABLATION, N_FOR_DIRECTIONS, N_STEERED, OUT, SEED
from acdc.options.ranges import Range, checked
from acdc.patching.problem import Problem
from acdc.progress import Progress, Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import MAX_PAIRS, PromptBatch
from acdc.runs.arguments import Arguments, resolve_arguments
from acdc.runs.fingerprint import fingerprint
from acdc.runs.folders import check_writable, runs_folder
from acdc.runs.reload import reload
from acdc.version import __version__

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SteeredRun", "steer", "steer_run"]

N = Annotated[int, Range(2, MAX_PAIRS)]
Fitted = Annotated[int, Range(8, MAX_PAIRS)]
Strength = Annotated[float, Range(-1000, 1000)]


@dataclass(frozen=True, eq=False)
class SteeredRun:
    """What a direction does at each strength, and a random one of the same length beside it.

    Attributes:
        found: The direction, and the random one.
        record: What was asked, and what a reader must know of the prompts.
        path: The folder; None if nothing was to be written.
    """

    found: tuple[Steered, ...]
    record: Mapping[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    @property
    def tables(self) -> list[Steering]:
        """As `explanation.json` holds them."""
        return [table_of(each) for each in self.found]

    def frame(self) -> "pd.DataFrame":
        """A line a direction and strength: see `Steered.frame`."""
        import pandas as pd

        return pd.concat([each.frame() for each in self.found], ignore_index=True)

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return self.frame().to_html(escape=True, index=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        own = self.found[0].direction
        direction = {"label": own.label, "classes": list(own.classes), "layer": own.layer, "place": own.place}
        tables = [each.model_dump() for each in self.tables]
        return {**self.record, "direction": direction, "vector": own.vector.tolist(), "steering": tables}


def steer(
    model: Any,
    task: Any,
    *,
    label: str | None = None,
    layer: int | None = None,
    place: str | None = None,
    strengths: Sequence[float] = STRENGTHS,
    n: int = N_STEERED,
    n_fitted: int = N_FOR_DIRECTIONS,
    metric: str | None = None,
    seed: int = SEED,
    out: str | Path | None = OUT,
    progress: Progressing = None,
    **others: Any,
) -> SteeredRun:
    """Add a difference of means to held-out prompts with each strength, take it out, and say what that does.

    Args:
        model, task: As for `acdc.discover`.
        label: What the direction is about: a name in `acdc.interpret.labels.LABELS`; the first that fits if None.
        layer: Before which block it is added; if None the one where that lowers some discovery prompts' metric most.
        place: At which place of the prompts: a span's name, or `first change`, `last change`, `end`; chosen likewise.
        strengths: Multiples of the direction, which leads from one class's mean to the other's.
        n: How many held-out prompts are steered.
        n_fitted: How many discovery prompts the means are of.
        metric: What is measured; the task's own if None (of `kl`, `logit_diff`).
        seed: Of prompts and of the random direction.
        out: Where the folder is made; None writes nothing.
        progress: True for a bar, or a function of a `Progress`.
        others: `bos`, `memory`, `task_options` and whatever else `acdc.discover` takes for loading.

    Raises:
        ACDCError: An argument, the model or the task can't be used.

    >>> import acdc
    >>> acdc.steer("acdc-tasks", "agreement", label="answer", out=None).frame()  # doctest: +SKIP
    """
    asked = _checked(label, layer, place, strengths, n, n_fitted)
    arguments = resolve_arguments(model, task, metric=metric, n=n_fitted, seed=seed, **others)
    if out is not None:
        check_writable(Path(out).expanduser())
    with shown(progress) as tell:
        announce(tell, f"loading {arguments.model.name}")
        found = _steered(arguments, arguments.model.load(), asked, tell)
    if out is None:
        return found
    folder = runs_folder(out, arguments.task.name, arguments.model.name, "steering")
    return _written(found, folder / fingerprint(dict(found.record))[:10])


def steer_run(
    run: Any,
    *,
    label: str | None = None,
    layer: int | None = None,
    place: str | None = None,
    strengths: Sequence[float] = STRENGTHS,
    n: int = N_STEERED,
    n_fitted: int = N_FOR_DIRECTIONS,
    seed: int = SEED,
    save: bool = True,
    out: str | Path | None = None,
    progress: Progressing = None,
    **world: Any,
) -> SteeredRun:
    """What `steer` says, with the model and the task of a saved run.

    Args:
        run: As for `acdc.explain`; the others as for `steer`.
        save: Whether to write anything.
        out: Where to; the folder `steering` in the run's own if None.
        world: Model, task and loading options instead of the run's own: see `acdc.runs.reload.reload`.

    Raises:
        ACDCError: An argument, the run, its model or its task can't be used.
    """
    asked = _checked(label, layer, place, strengths, n, n_fitted)
    with shown(progress) as tell:
        announce(tell, "loading the model")
        reloaded = reload(run, **world)
        folder = reloaded.beside.parent / "steering" if out is None and reloaded.beside else out
        if save and folder is None:
            raise RunError("the circuit is in no folder: say where to write (out), or save=False")
        arguments = replace(reloaded.arguments, seed=seed, ablation=ABLATION)  # nothing is ablated here
        found = _steered(arguments, reloaded.model, asked, tell)
    return _written(found, Path(folder).expanduser()) if save and folder is not None else found


def _checked(
    label: str | None, layer: int | None, place: str | None, strengths: Sequence[float], n: int, n_fitted: int
) -> dict[str, Any]:
    """What is asked, before anything is loaded."""
    if label is not None:
        LABELS.find(label)
    checked("n", N, n)
    checked("n_fitted", Fitted, n_fitted)
    if not strengths:
        raise RunError("give at least one strength, like 1")
    doses = sorted({float(checked("strength", Strength, each)) for each in strengths})
    return {"label": label, "layer": layer, "place": place, "strengths": doses, "n": n, "n_fitted": n_fitted}


def _steered(arguments: Arguments, model: PatchableModel, asked: Mapping[str, Any], tell: Tell | None) -> SteeredRun:
    layers = None if asked["layer"] is None else [_layer(asked["layer"], model)]
    seed, places = arguments.seed, _places(asked["place"])
    problem = arguments.problem(model, n=asked["n"], seed=seed, held_out=True, engines=())
    train = arguments.task.batch(model.tokenizer, asked["n_fitted"], seed, bos=arguments.bos)
    if problem.batch.pair_ids is not None:
        raise RunError("prompts with whole answers of several tokens are not steered: take the answers' first tokens")
    few = train.select(range(min(CHOSEN_ON, train.n)))
    tuned = Problem.make(model, few, metric=problem.objective.metric, seed=seed)
    own = find_direction(
        train, tuned, label=asked["label"], places=places, layers=layers, step=_telling(tell, "choosing the place")
    )
    both, steps = (own, random_like(own, seed)), _telling(tell, "steering")
    found = steer_all(both, problem, strengths=asked["strengths"], bos=arguments.bos, step=steps)
    record = {
        "made_with": f"acdc {__version__}",
        "task": arguments.task.name,
        "task_options": dict(arguments.task_options),
        **arguments.model.to_json(),
        "asked": dict(asked) | {"metric": found[0].metric, "seed": seed},
        "n_prompts": problem.batch.n,
        "n_shared": problem.batch.n_shared(train),
        "notes": list(problem.batch.notes),
    }
    return SteeredRun(found, record)


def _layer(layer: int, model: PatchableModel) -> int:
    """A block's number.

    Raises:
        RunError: There is no such block.
    """
    if not 0 <= layer < model.graph.n_layers:
        raise RunError(f"layer must be from 0 to {model.graph.n_layers - 1} in {model.name!r}, not {layer}")
    return layer


def _places(name: str | None) -> Callable[[PromptBatch], Places]:
    """The places of a batch; only the one that is named."""

    if name is None:
        return places_of

    def one(batch: PromptBatch) -> Places:
        known = places_of(batch)
        if name not in known:
            raise TaskError(f"task {batch.task!r} has no place {name!r}; its places are {', '.join(known)}")
        return {name: known[name]}

    return one


def _telling(tell: Tell | None, stage: str) -> Callable[[int, int], None]:
    def step(done: int, total: int) -> None:
        if tell is not None:
            tell(Progress(done, total, stage=stage))

    return step


def _written(found: SteeredRun, folder: Path) -> SteeredRun:
    """The same, with its files: `steer.json`, `steer.csv` and `steer.svg`.

    Raises:
        FileError: A file can't be written.
    """
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [write_json(folder / "steer.json", found.to_dict()), write_csv(folder / "steer.csv", found.frame())]
    files.append(draw_steering(found.tables, folder / "steer.svg"))
    return replace(found, path=folder, files=tuple(files))
