"""What a model goes on to say after a prompt, with a feature pushed by several doses, with a control, and without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from acdc.errors import RunError
from acdc.features.acting import Continued, Push, continued, control_of, firings
from acdc.features.dictionary import Dictionary
from acdc.files import write_csv, write_json
from acdc.options.defaults import N_CONTINUED, OUT, SEED
from acdc.options.ranges import Range, checked
from acdc.progress import announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.texts import text_batch
from acdc.runs.features.dictionaries import open_dictionary
from acdc.runs.features.pushing import checked_doses, part_of, push_folder, record_of
from acdc.runs.model_spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Continuations", "push_on_prompt"]

NTokens = Annotated[int, Range(1, 10_000)]


class Row(NamedTuple):
    """What follows with one dose, and with the same dose of the control. `dose` None: nothing is pushed."""

    dose: float | None
    own: Continued
    control: Continued


@dataclass(frozen=True, eq=False)
class Continuations:
    """What a model goes on to say after a prompt.

    Attributes:
        rows: By dose, the first without any.
        control: What the feature is compared with.
        largest: The feature's largest activation on the prompt, behind its first token.
        record: What was asked.
        path: The folder; None if nothing was to be written.
    """

    rows: tuple[Row, ...]
    control: str
    largest: float
    record: Mapping[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    def frame(self) -> "pd.DataFrame":
        """A line a dose: `dose`, `text` with its `surprise`, whether it is `changed` from what is said without, and the
        control's text and surprise."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "dose": "none" if row.dose is None else f"{row.dose:g}",
                    "text": row.own.text,
                    "surprise": row.own.surprise,
                    "changed": row.own.text != self.rows[0].own.text,
                    "control_text": row.control.text,
                    "control_surprise": row.control.surprise,
                }
                for row in self.rows
            ]
        )

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return self.frame().to_html(escape=True, index=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        rows = [{"dose": row.dose, **row.own._asdict(), "control": row.control._asdict()} for row in self.rows]
        return {**self.record, "largest": self.largest, "control": self.control, "continuations": rows}


def push_on_prompt(
    dictionary: str | Path | Dictionary,
    feature: int,
    model: Any,
    prompt: str,
    doses: Sequence[float],
    *,
    kind: str = "clamp",
    n_tokens: int = N_CONTINUED,
    bos: bool | None = None,
    site: str | None = None,
    seed: int = SEED,
    out: str | Path | None = OUT,
    progress: Progressing = None,
    **loading: Any,
) -> Continuations:
    """What a model goes on to say after a prompt, with a feature pushed by each dose, beside a control, and without.

    Args:
        n_tokens: How many tokens it says, the most probable one each time.
        seed: Of a random direction, where no feature is like this one.
        loading: As for `acdc.discover`; the others as for `acdc.runs.features.pushing.push_on_task`.

    Raises:
        ACDCError: An argument, the model, the prompt or the dictionary can't be used.
    """
    amounts = checked_doses(kind, doses, out)
    checked("n_tokens", NTokens, n_tokens)
    if model is None:
        raise RunError("name the model that is to read the prompt (--model); acdc models lists the bundled ones")
    spec = ModelSpec.of(model, **loading)
    with shown(progress) as tell:
        announce(tell, f"loading {spec.name}")
        loaded, found = open_dictionary(dictionary, spec, site=site)
        Push(feature, kind, 0.0).check(found)
        batch = text_batch([prompt], loaded.tokenizer, bos=bos, name="prompt")
        loaded.check_batch(batch)
        fires = firings(loaded, found, batch)
        control = control_of(found, feature, fires, seed=seed)
        options: dict[str, Any] = {"n_tokens": n_tokens, "bos": bos}

        def said(i: int, which: Dictionary, push: Push | None) -> Continued:
            return continued(loaded, which, prompt, push, progress=part_of(tell, i, 1 + 2 * len(amounts)), **options)

        without = said(0, found, None)
        rows = [Row(None, without, without)]
        for i, dose in enumerate(amounts):
            own = said(1 + 2 * i, found, Push(feature, kind, dose))
            rows.append(Row(dose, own, said(2 + 2 * i, control.dictionary, Push(control.feature, kind, dose))))
    asked = {"prompt": prompt, "n_tokens": n_tokens, "bos": bos, "seed": seed}
    record = record_of(found, feature, kind, amounts, spec) | asked
    run = Continuations(tuple(rows), control.what, float(fires.largest[feature]), record)
    if out is None:
        return run
    folder = push_folder(out, "prompt", spec.name, run.record)
    files = write_json(folder / "push.json", run.to_dict()), write_csv(folder / "push.csv", run.frame())
    return replace(run, path=folder, files=files)
