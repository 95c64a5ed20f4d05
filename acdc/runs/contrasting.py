"""Features that tell two sets of prompts apart, from a dictionary's, a model's and files' or a task's names."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from acdc.errors import RunError
from acdc.features.acting import Contrast, contrast
from acdc.features.dictionary import Dictionary
from acdc.features.reading import FoundRule, rule_of
from acdc.features.reading.read import dictionary_hash
from acdc.files import plain, write_csv, write_json
from acdc.models import PatchableModel
from acdc.options.defaults import N_CONTRASTED, OUT, SEED, TOP_CONTRASTED
from acdc.options.ranges import Range, Seed, checked
from acdc.progress import announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import MAX_PAIRS
from acdc.runs.arguments import Arguments, resolve_arguments
from acdc.runs.feature_reading import open_dictionary
from acdc.runs.fingerprint import fingerprint
from acdc.runs.folders import check_writable, runs_folder
from acdc.runs.model_spec import ModelSpec
from acdc.runs.prompt_sets import PromptSets, sets_of_files, wrong_and_right
from acdc.runs.readings import readings_of
from acdc.version import __version__

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ContrastRun", "contrast_files", "contrast_wrong"]

FEW = 30  # held-out prompts of a set
SMALL = (
    f"a set has fewer than {FEW} held-out prompts: where a feature seldom fires, its interval may be too narrow, and "
    "what holds may be chance"
)
Many = Annotated[int, Range(1, MAX_PAIRS)]
Top = Annotated[int, Range(1, 10_000)]
Where = Literal["max", "last"]


@dataclass(frozen=True, eq=False)
class ContrastRun:
    """Features that tell two sets apart, what is known of when they fire, and where it was written.

    Attributes:
        rules: Each row's feature's rule with its test, from what was read of the dictionary; None without one.
        read_on: The text that the rules are of; None: the dictionary's features were not read.
        record: What was asked, and what a reader must know of the prompts.
        path: The folder; None if nothing was to be written.
    """

    found: Contrast
    rules: tuple[FoundRule | None, ...]
    read_on: str | None
    record: Mapping[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    def frame(self) -> "pd.DataFrame":
        """A line a feature: see `Contrast.frame`; its `rule`, and by the rule's test its `detection`."""
        tests = [None if rule is None else rule.test.detection for rule in self.rules]
        return self.found.frame().assign(
            rule=["" if rule is None else rule.text for rule in self.rules],
            detection=[None if test is None else test.value for test in tests],
        )

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return self.frame().to_html(escape=True, index=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        held_out = {"n_first": self.found.n_first, "n_second": self.found.n_second}
        rows = [
            asdict(row) | {"rule": None if rule is None else asdict(rule)}
            for row, rule in zip(self.found.rows, self.rules, strict=True)
        ]
        return plain({**self.record, "held_out": held_out, "rules_read_on": self.read_on, "features": rows})


def contrast_files(
    dictionary: str | Path | Dictionary,
    model: Any,
    first: str | Path,
    second: str | Path,
    *,
    where: str = "max",
    top: int = TOP_CONTRASTED,
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
        return _run(loaded, read, sets, where, top, asked, spec, out)


def contrast_wrong(
    dictionary: str | Path | Dictionary,
    model: Any,
    task: Any,
    *,
    where: str = "max",
    top: int = TOP_CONTRASTED,
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
        others: `bos`, `task_options` and whatever else `acdc.discover` takes for loading; the rest as for
            `contrast_files`.

    Raises:
        ACDCError: An argument, the model, the task or the dictionary can't be used; too few are wrong or right.
    """
    _check(where, top, n, seed, out)
    arguments: Arguments = resolve_arguments(model, task, n=n, seed=seed, **others)
    with shown(progress) as tell:
        announce(tell, f"loading {arguments.model.name}")
        loaded, read = open_dictionary(dictionary, arguments.model, site=site)
        announce(tell, f"answers to {n} prompts")
        sets = wrong_and_right(loaded, read, arguments)
        asked = {"task": arguments.task.name, "task_options": dict(arguments.task_options), "n": n}
        asked |= {"bos": arguments.bos, "seed": seed}
        return _run(loaded, read, sets, where, top, asked, arguments.model, out)


def _check(where: str, top: int, n: int, seed: int, out: str | Path | None) -> None:
    """What is asked, before anything is loaded."""
    for name, kind, value in (("where", Where, where), ("top", Top, top), ("n", Many, n), ("seed", Seed, seed)):
        checked(name, kind, value)
    if out is not None:
        check_writable(Path(out).expanduser())


def _run(
    model: PatchableModel,
    dictionary: Dictionary,
    sets: PromptSets,
    where: Any,
    top: int,
    asked: dict[str, Any],
    spec: ModelSpec,
    out: str | Path | None,
) -> ContrastRun:
    found = contrast(model, dictionary, sets.first, sets.second, where=where, top=top, seed=asked["seed"])
    record = {
        "made_with": f"acdc {__version__}",
        "model": spec.name,
        **spec.to_json(),
        "dictionary": {"name": dictionary.name, "sha256": dictionary_hash(dictionary), "reads": str(dictionary.reads)},
        "asked": asked | {"where": where, "top": top},
        "sets": list(sets.names),
        "n_prompts": [sets.first.n, sets.second.n],
        "prompts_sha256": [sets.first.fingerprint, sets.second.fingerprint],
        "notes": [*sets.notes, *([SMALL] if min(found.n_first, found.n_second) < FEW else [])],
    }
    (reading,) = readings_of([dictionary], OUT if out is None else out)
    rules = tuple(None if reading is None else rule_of(reading, row.feature) for row in found.rows)
    run = ContrastRun(found, rules, None if reading is None else reading.about.corpus, record)
    return run if out is None else _written(run, spec.name, out)


def _written(run: ContrastRun, model: str, out: str | Path) -> ContrastRun:
    """The same, with its files.

    Raises:
        FileError: A file can't be written.
    """
    name = run.record["asked"].get("task", "prompts")
    folder = runs_folder(out, name, model, "contrast") / fingerprint(run.record)[:10]
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = write_json(folder / "contrast.json", run.to_dict()), write_csv(folder / "contrast.csv", run.frame())
    return replace(run, path=folder, files=files)
