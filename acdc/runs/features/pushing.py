"""Pushing a feature, from a dictionary's, a model's and a task's names: doses beside a control, kept and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from acdc.drawing import draw_steering
from acdc.errors import RunError
from acdc.evaluation.permutation import paired_p
from acdc.evaluation.statistics import adjust
from acdc.features.acting import Doses, Push, control_of, dose_effects, firings
from acdc.features.dictionary import Dictionary
from acdc.files import write_csv, write_json
from acdc.interpret.draft import estimated, number
from acdc.interpret.explanation import Steering
from acdc.options.defaults import N_STEERED, OUT, SEED
from acdc.options.ranges import Range, checked
from acdc.patching.problem import Problem
from acdc.progress import Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import MAX_PAIRS
from acdc.runs.arguments import Arguments, resolve_arguments
from acdc.runs.features.dictionaries import asked_of, open_dictionary
from acdc.runs.fingerprint import fingerprint
from acdc.runs.folders import check_writable, runs_folder
from acdc.runs.model_spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PushedRun", "checked_doses", "part_of", "push_folder", "push_on_task", "record_of"]

Kind = Literal["clamp", "add"]
N = Annotated[int, Range(2, MAX_PAIRS)]
AXIS = "{kind}, in the feature's own unit (broken line: nothing pushed)"


@dataclass(frozen=True, eq=False)
class PushedRun:
    """What a feature does to a task at each dose, and a control beside it.

    Attributes:
        own, control: The feature's doses, and those of what it is compared with; `control_what` says what that is.
        density, largest: How the feature itself fires on the prompts, behind their first tokens.
        record: What was asked, and what a reader must know of the prompts.
        path: The folder; None if nothing was to be written.
    """

    own: Doses
    control: Doses
    control_what: str
    density: float
    largest: float
    record: Mapping[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    @property
    def pushed(self) -> tuple[tuple[str, Doses], ...]:
        """What is pushed, and what that does: the feature, and the control."""
        return (f"feature {self.own.feature}", self.own), (self.control_what, self.control)

    @property
    def tables(self) -> list[Steering]:
        """As charts read them: the changes of the metric by the feature, and by the control."""
        return [_table(doses, what, self.record["dictionary"]["writes"]) for what, doses in self.pushed]

    @cached_property
    def p(self) -> tuple[float, ...]:
        """Of each row: that feature and control change the prompts' metric so differently by chance, by paired
        permutations, adjusted for the number of doses (Holm)."""
        seed = self.record["seed"]
        doses = range(1, len(self.own.rows))
        return (1.0, *adjust([paired_p(self.own.changes(i) - self.control.changes(i), seed=seed) for i in doses]))

    def frame(self) -> "pd.DataFrame":
        """A line a dose of each: `pushed`, what `Doses.frame` says, and `p`."""
        import pandas as pd

        frames = [doses.frame() for _, doses in self.pushed]
        for frame, (what, _) in zip(frames, self.pushed, strict=True):
            frame.insert(0, "pushed", what)
            frame["p"] = self.p
        return pd.concat(frames, ignore_index=True)

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return self.frame().to_html(escape=True, index=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        found = {"density": self.density, "largest": self.largest, "control": self.control_what}
        doses = [{"pushed": what} | doses.to_dict() for what, doses in self.pushed]
        return {**self.record, **found, "doses": doses, "p": list(self.p)}


def push_on_task(
    dictionary: str | Path | Dictionary,
    feature: int,
    model: Any,
    task: Any,
    doses: Sequence[float],
    *,
    kind: str = "clamp",
    n: int = N_STEERED,
    metric: str | None = None,
    site: str | None = None,
    seed: int = SEED,
    out: str | Path | None = OUT,
    progress: Progressing = None,
    **others: Any,
) -> PushedRun:
    """Push a feature by each dose on a task's held-out prompts and on neutral text, and a control by the same doses.

    Args:
        dictionary: A folder, a name on the hub, a bundled one's name, or a `Dictionary`.
        model, task, metric: As for `acdc.discover`.
        doses: In the feature's own unit.
        kind: `clamp` sets the feature, `add` adds to it.
        n: How many held-out prompts.
        site: Where the dictionary reads, if its files don't say.
        seed: Of the prompts, and of a random direction.
        out: Where the folder is made; None writes nothing.
        progress: True for a bar, or a function of a `Progress`.
        others: `bos`, `task_options` and whatever else `acdc.discover` takes for loading.

    Raises:
        ACDCError: An argument, the model, the task or the dictionary can't be used.
    """
    amounts = checked_doses(kind, doses, out)
    checked("n", N, n)
    arguments = resolve_arguments(model, task, metric=metric, n=n, seed=seed, **others)
    with shown(progress) as tell:
        announce(tell, f"loading {arguments.model.name}")
        loaded, found = open_dictionary(dictionary, arguments.model, site=site)
        Push(feature, kind, 0.0).check(found)
        problem = arguments.problem(loaded, held_out=True, engines=())
        if problem.batch.pair_ids is not None:
            raise RunError("prompts with whole answers of several tokens aren't pushed: take the answers' first tokens")
        run = _pushed(problem, found, feature, kind, amounts, arguments, tell)
    if out is None:
        return run
    folder = push_folder(out, arguments.task.name, arguments.model.name, run.record)
    files = [write_json(folder / "push.json", run.to_dict()), write_csv(folder / "push.csv", run.frame())]
    title = f"feature {feature} of {found.name}"
    files.append(draw_steering(run.tables, folder / "push.svg", title, axis=AXIS.format(kind=kind)))
    return replace(run, path=folder, files=tuple(files))


def checked_doses(kind: str, doses: Sequence[float], out: str | Path | None) -> list[float]:
    """The doses in order, each once, before anything is loaded."""
    checked("kind", Kind, kind)
    if not doses:
        raise RunError("give at least one dose, like --dose 20; 0 by clamp ablates the feature")
    if out is not None:
        check_writable(Path(out).expanduser())
    return sorted({float(checked("dose", float, dose)) for dose in doses})


def _pushed(
    problem: Problem,
    dictionary: Dictionary,
    feature: int,
    kind: str,
    doses: Sequence[float],
    arguments: Arguments,
    tell: Tell | None,
) -> PushedRun:
    found = firings(problem.model, dictionary, problem.batch)
    control = control_of(dictionary, feature, found, seed=arguments.seed)
    options: dict[str, Any] = {"kind": kind, "bos": arguments.bos}
    own = dose_effects(problem, dictionary, feature, doses, progress=part_of(tell, 0, 2), **options)
    other = dose_effects(problem, control.dictionary, control.feature, doses, progress=part_of(tell, 1, 2), **options)
    record = record_of(dictionary, feature, kind, doses, arguments.model) | {
        "task": arguments.task.name,
        "task_options": dict(arguments.task_options),
        "metric": own.metric,
        "seed": arguments.seed,
        "bos": arguments.bos,
        "n_prompts": problem.batch.n,
        "n_neutral": own.n_neutral,
        "notes": list(problem.batch.notes),
    }
    density, largest = float(found.density[feature]), float(found.largest[feature])
    return PushedRun(own, other, control.what, density, largest, record)


def part_of(tell: Tell | None, i: int, n: int) -> Tell | None:
    """Tells of part i of n equal parts of the work."""
    if tell is None:
        return None
    return lambda now: tell(replace(now, done=i * now.total + now.done, total=n * now.total))


def record_of(
    dictionary: Dictionary, feature: int, kind: str, doses: Sequence[float], model: ModelSpec
) -> dict[str, Any]:
    """What was pushed, of what, and how."""
    return asked_of(dictionary, model) | {"feature": feature, "kind": kind, "doses": list(doses)}


def _table(doses: Doses, what: str, site: str) -> Steering:
    return Steering(
        direction=what,
        site=site,
        metric_name=f"change of {doses.metric}",
        strengths=[row.dose for row in doses.rows],
        metric=[estimated(row.change) for row in doses.rows],
        neutral_kl=[number(row.neutral_kl) for row in doses.rows],
    )


def push_folder(out: str | Path, task: str, model: str, record: Mapping[str, Any]) -> Path:
    """The folder of this record, made.

    Raises:
        RunError: It can't be written.
    """
    folder = runs_folder(out, task, model, "push") / fingerprint(record)[:10]
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
