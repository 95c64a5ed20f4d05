"""Features that tell two sets of prompts apart, from a dictionary's, a model's and files' or a task's names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from acdc.errors import RunError
from acdc.features.acting import ablate_found, contrast
from acdc.features.dictionary import Dictionary
from acdc.features.reading import rule_of
from acdc.models import PatchableModel
from acdc.options.defaults import N_CONTRASTED, OUT, SEED, TOP_CONTRASTED
from acdc.options.ranges import Range, Seed, checked
from acdc.progress import Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import MAX_PAIRS
from acdc.runs.arguments import Arguments, resolve_arguments
from acdc.runs.features.contrast_run import ContrastRun
from acdc.runs.features.dictionaries import asked_of, open_dictionary
from acdc.runs.features.kept_readings import readings_of
from acdc.runs.features.prompt_sets import By, PromptSets, sets_of_files, wrong_and_right
from acdc.runs.folders import check_writable
from acdc.runs.model_spec import ModelSpec

__all__ = ["ContrastRun", "contrast_files", "contrast_wrong"]

Many = Annotated[int, Range(1, MAX_PAIRS)]
Top = Annotated[int, Range(1, 1000)]
Where = Literal["max", "last"]


def contrast_files(
    dictionary: str | Path | Dictionary,
    model: Any,
    first: str | Path,
    second: str | Path,
    *,
    where: str = "max",
    top: int = TOP_CONTRASTED,
    ablate: bool = False,
    n: int = N_CONTRASTED,
    bos: bool | None = None,
    site: str | None = None,
    seed: int = SEED,
    out: str | Path | None = OUT,
    progress: Progressing = None,
    **loading: Any,
) -> ContrastRun:
    """The features that tell the prompts of one file from those of another.

    Args:
        dictionary: A folder, a name on the hub, a bundled one's name, or a `Dictionary`.
        model, loading: As for `acdc.discover`.
        first, second: A text with a prompt a line; a data file (JSON lines, JSON, CSV, TSV) with a column `text`;
            `hf:NAME`, a data set.
        where: Each prompt's largest activation behind its first token (`max`), or that at its last token (`last`).
        top: How many features are tested.
        ablate: Whether to ablate the features that hold, on held-out prompts, and tell what that changes.
        n: How many prompts are taken of each file at most, at random.
        site: Where the dictionary reads, if its files don't say.
        seed: Of that choice, and of the halves.
        out: Where the folder is made, and where readings of the dictionary are looked for; with None nothing is
            written, and they are looked for in `outputs`.
        progress: True for a bar, or a function of a `Progress`.

    Raises:
        ACDCError: An argument, the model, a file or the dictionary can't be used.
    """
    _check(where, top, n, seed, out)
    if model is None:
        raise RunError("name the model that is to read the prompts (--model); acdc models lists the bundled ones")
    spec = ModelSpec.of(model, **loading)
    with shown(progress) as tell:
        announce(tell, f"loading {spec.name}")
        loaded, read = open_dictionary(dictionary, spec, site=site)
        sets = sets_of_files(loaded, str(first), str(second), n=n, seed=seed, bos=bos)
        announce(tell, f"{sets.first.n + sets.second.n} prompts")
        asked = {"first": str(first), "second": str(second), "n": n, "bos": bos, "seed": seed}
        return _run(loaded, read, sets, spec, asked, _Asked(where, top, ablate, out, tell))


def contrast_wrong(
    dictionary: str | Path | Dictionary,
    model: Any,
    task: Any,
    *,
    by: str = "accuracy",
    where: str = "max",
    top: int = TOP_CONTRASTED,
    ablate: bool = False,
    n: int = N_CONTRASTED,
    site: str | None = None,
    seed: int = SEED,
    out: str | Path | None = OUT,
    progress: Progressing = None,
    **others: Any,
) -> ContrastRun:
    """The features that tell a task's prompts that the model answers wrong from those that it answers right.

    Args:
        task: As for `acdc.discover`; `n` of its prompts are run.
        by: What is right and wrong: `accuracy`, `top1_accuracy`, or the best and the worst quarter by the task's metric
            (`metric`): see `acdc.runs.features.prompt_sets.wrong_and_right`.
        others: `metric`, `bos`, `task_options` and whatever else `acdc.discover` takes for loading; the rest as for
            `contrast_files`.

    Raises:
        ACDCError: An argument, the model, the task or the dictionary can't be used; too few are wrong or right.
    """
    _check(where, top, n, seed, out, by)
    arguments: Arguments = resolve_arguments(model, task, n=n, seed=seed, **others)
    with shown(progress) as tell:
        announce(tell, f"loading {arguments.model.name}")
        loaded, read = open_dictionary(dictionary, arguments.model, site=site)
        sets = wrong_and_right(loaded, read, arguments, by=by, tell=tell)
        asked = {"task": arguments.task.name, "task_options": dict(arguments.task_options), "n": n}
        asked |= {"by": by, "bos": arguments.bos, "seed": seed}
        return _run(loaded, read, sets, arguments.model, asked, _Asked(where, top, ablate, out, tell))


def _check(where: str, top: int, n: int, seed: int, out: str | Path | None, by: str = "accuracy") -> None:
    """What is asked, before anything is loaded."""
    asked = (("where", Where, where), ("by", By, by), ("top", Top, top), ("n", Many, n), ("seed", Seed, seed))
    for name, kind, value in asked:
        checked(name, kind, value)
    if out is not None:
        check_writable(Path(out).expanduser())


@dataclass(frozen=True)
class _Asked:
    """What of the two sets is compared, and what is done with what is found."""

    where: Any
    top: int
    ablate: bool
    out: str | Path | None
    tell: Tell | None


def _run(
    model: PatchableModel,
    dictionary: Dictionary,
    sets: PromptSets,
    spec: ModelSpec,
    sources: dict[str, Any],
    asked: _Asked,
) -> ContrastRun:
    seed: int = sources["seed"]
    found = contrast(
        model, dictionary, sets.first, sets.second, where=asked.where, top=asked.top, seed=seed, progress=asked.tell
    )
    ablated = None
    if asked.ablate:
        ablated = ablate_found(model, dictionary, found, metric=sets.metric, seed=seed, progress=asked.tell)
    record = asked_of(dictionary, spec) | {
        "asked": sources | {"where": asked.where, "top": asked.top, "ablate": asked.ablate},
        "sets": list(sets.names),
        "metric": None if sets.metric is None else sets.metric.name,
        "n_prompts": [sets.first.n, sets.second.n],
        "prompts_sha256": [sets.first.fingerprint, sets.second.fingerprint],
        "notes": list(sets.notes),
    }
    (reading,) = readings_of([dictionary], OUT if asked.out is None else asked.out)
    rules = tuple(None if reading is None else rule_of(reading, row.feature) for row in found.rows)
    run = ContrastRun(found, rules, reading, ablated, record)
    return run if asked.out is None else run.written(spec.name, asked.out)
