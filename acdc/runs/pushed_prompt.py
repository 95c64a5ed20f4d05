"""What a model goes on to say after a prompt, with a feature pushed by each of several doses and without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from acdc.errors import RunError
from acdc.features.acting import Push, continued_text, firings
from acdc.features.dictionary import Dictionary
from acdc.files import write_csv, write_json
from acdc.options.defaults import N_CONTINUED, OUT
from acdc.options.ranges import Range, checked
from acdc.progress import Progress, announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.texts import text_batch
from acdc.runs.feature_reading import open_dictionary
from acdc.runs.model_spec import ModelSpec
from acdc.runs.pushing import checked_doses, push_folder, record_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Continuations", "push_on_prompt"]

NTokens = Annotated[int, Range(1, 10_000)]


@dataclass(frozen=True, eq=False)
class Continuations:
    """What a model goes on to say after a prompt.

    Attributes:
        texts: By dose; None: nothing is pushed.
        largest: The feature's largest activation on the prompt, behind its first token.
        record: What was asked.
        path: The folder; None if nothing was to be written.
    """

    texts: tuple[tuple[float | None, str], ...]
    largest: float
    record: Mapping[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    def frame(self) -> "pd.DataFrame":
        """A line a dose: `dose`, `text`, and whether it is `changed` from what is said without."""
        import pandas as pd

        rows = [("none" if dose is None else f"{dose:g}", text, text != self.texts[0][1]) for dose, text in self.texts]
        return pd.DataFrame(rows, columns=["dose", "text", "changed"])

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        texts = [{"dose": dose, "text": text} for dose, text in self.texts]
        return {**self.record, "largest": self.largest, "continuations": texts}


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
    out: str | Path | None = OUT,
    progress: Progressing = None,
    **loading: Any,
) -> Continuations:
    """What a model goes on to say after a prompt, with a feature pushed by each dose and without.

    Args:
        n_tokens: How many tokens it says, the most probable one each time.
        loading: As for `acdc.discover`; the others as for `acdc.runs.pushing.push_on_task`.

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
        texts = list[tuple[float | None, str]]()
        for i, dose in enumerate((None, *amounts)):
            if tell is not None:
                tell(Progress(i, 1 + len(amounts), stage="texts"))
            push = None if dose is None else Push(feature, kind, dose)
            texts.append((dose, continued_text(loaded, found, prompt, push, n_tokens=n_tokens, bos=bos)))
        largest = float(firings(loaded, found, batch).largest[feature])
    asked = {"prompt": prompt, "n_tokens": n_tokens, "bos": bos}
    run = Continuations(tuple(texts), largest, record_of(found, feature, kind, amounts, spec) | asked)
    if out is None:
        return run
    folder = push_folder(out, "prompt", spec.name, run.record)
    files = write_json(folder / "push.json", run.to_dict()), write_csv(folder / "push.csv", run.frame())
    return replace(run, path=folder, files=files)
