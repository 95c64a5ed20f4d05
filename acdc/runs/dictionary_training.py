"""Training dictionaries by what a user names, and the folders that they are saved in."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acdc.errors import RunError
from acdc.features.dictionary import Dictionary
from acdc.features.fidelity import Fidelity, measure_fidelity
from acdc.features.formats import FORMATS, save
from acdc.features.sites import Site, width_of
from acdc.features.training.recipe import DEAD_AFTER, Recipe
from acdc.features.training.training import BATCH, BUFFER, DictionaryTraining, fingerprint, train_dictionaries
from acdc.files import write_csv
from acdc.interpret.lenses.windows import LENGTH
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.options.ranges import Seed, checked
from acdc.progress.bars import Progressing, shown
from acdc.progress.progress import announce
from acdc.runs.dictionary_card import write_report
from acdc.runs.folders import check_writable
from acdc.runs.state_file import StateFile
from acdc.runs.text_sources import texts_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TOKENS", "TrainedDictionaries", "TrainedDictionary", "train_dictionary"]

TOKENS, EXPANSION = 1_000_000, 8  # trained on; features for each dimension that is read
STATE, COMPARISON, HISTORY, FIGURE = "training", "comparison.csv", "training.csv", "training.svg"
FEWEST_DEATHS = 10  # times that a feature could have died, in a short training


@dataclass(frozen=True)
class TrainedDictionary:
    """One of them, where it was saved, and how well it does on text held out."""

    folder: Path
    training: DictionaryTraining
    fidelity: Fidelity

    @property
    def dictionary(self) -> Dictionary:
        """What was trained."""
        return self.training.dictionary


@dataclass(frozen=True)
class TrainedDictionaries:
    """Dictionaries of one site, from the sparsest on."""

    found: tuple[TrainedDictionary, ...]

    def frame(self) -> "pd.DataFrame":
        """One row a dictionary: `variant`, `width`, `k`, and what was measured on text held out."""
        import pandas as pd

        rows = []
        for each in self.found:
            recipe = each.training.recipe
            told = {"variant": recipe.variant, "width": recipe.width, "k": recipe.k}
            rows.append(told | each.fidelity.as_dict() | {"folder": str(each.folder)})
        return pd.DataFrame(rows)


def train_dictionary(
    model: PatchableModel,
    sources: str | Sequence[str],
    folder: str | os.PathLike[str],
    *,
    site: Site | str,
    writes: Site | str | None = None,
    variant: str = "topk",
    width: int | None = None,
    k: int | Sequence[int] = 32,
    skip: bool = False,
    rate: float | None = None,
    tokens: int = TOKENS,
    batch: int = BATCH,
    buffer: int = BUFFER,
    length: int = LENGTH,
    seed: int = SEED,
    progress: Progressing = None,
    **of_source: Any,
) -> TrainedDictionaries:
    """Train a dictionary, or one for each of several k at once, and save them; a stopped training goes on when it is
    asked for again.

    Args:
        sources: What is read, one or several: see `texts_of`, which `of_source` goes to too.
        folder: Where the dictionary is saved; of several each in a folder `k8`, `k16`... of it.
        site: What is read, like `resid_post.5`.
        writes: What a transcoder writes; None of an SAE.
        width: Number of features; 8 for each dimension that is read if None.
        tokens: Trained on, repeats included.
        batch, buffer: Tokens of a step, and tokens that are shuffled together.

    Raises:
        RunError: An option is out of bounds; or the folder holds a dictionary, or another training's state.
        ModelError: The model has no such site.
        FileError, TaskError, UnknownNameError: The text can't be had, or is too short.
    """
    folder, sources = Path(folder).expanduser(), [sources] if isinstance(sources, str) else list(sources)
    reads, out = _site(site), None if writes is None else _site(writes)
    seed = checked("seed", Seed, seed)
    if tokens < batch:
        raise RunError(f"tokens, {tokens:,}, must be at least those of a batch, {batch:,}")
    n = EXPANSION * width_of(model, reads) if width is None else width
    many = [k] if isinstance(k, int) else sorted(set(k))
    recipe = Recipe(variant, n, many[0], skip, rate, max(batch, min(DEAD_AFTER, tokens // FEWEST_DEATHS)))
    recipes = [replace(recipe, k=each) for each in many]
    folders = [folder / f"k{each}" for each in many] if len(many) > 1 else [folder]
    format = _format(recipe, out, reads)
    _check_folders(folders)
    texts, held_out = texts_of(model, sources, tokens=tokens, length=length, seed=seed, **of_source)
    options: dict[str, Any] = {"steps": tokens // batch, "batch": batch, "buffer": buffer, "seed": seed}
    state = StateFile(folder / STATE, fingerprint(model, texts, recipes, reads, out, *options.values()))
    if state.is_anothers():
        raise RunError(f"{state.path} is of another training: ask for the same one, or give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with shown(progress) as tell:
        trained = train_dictionaries(
            model, texts, recipes, reads=reads, writes=out, keep=state, progress=tell, **options
        )
        announce(tell, "fidelity on text held out")
        measured = measure_fidelity(model, [each.dictionary for each in trained], held_out)
    asked = {"sources": sources, "length": length, "tokens": tokens, "dtype": str(model.dtype)} | options | of_source
    found = TrainedDictionaries(tuple(map(TrainedDictionary, folders, trained, measured)))
    _save(found, folder, format, asked, model)
    state.path.unlink(missing_ok=True)
    return found


def _site(site: Site | str) -> Site:
    return Site.parse(site) if isinstance(site, str) else site


def _format(recipe: Recipe, writes: Site | None, reads: Site) -> str:
    """SAELens's, which has no transcoders with TopK: sparsify's of these."""
    return "sparsify" if recipe.variant == "topk" and writes not in (None, reads) else "saelens"


def _check_folders(folders: Sequence[Path]) -> None:
    for folder in folders:
        check_writable(folder)
        if any(form.recognises(folder) for form in FORMATS.values()):
            raise RunError(f"{folder} holds a dictionary already; give another folder")


def _save(found: TrainedDictionaries, folder: Path, format: str, asked: dict[str, Any], model: PatchableModel) -> None:
    """The weights, tables, figures and cards; the comparison of several."""
    from acdc.drawing.training_curves import draw_training

    histories = {f"k {each.training.recipe.k}": each.training.frame() for each in found.found}
    histograms = {f"k {each.training.recipe.k}": each.fidelity.histogram() for each in found.found}
    title = f"{found.found[0].dictionary.name} of {model.name}"
    for name, each in zip(histories, found.found, strict=True):
        each.folder.mkdir(exist_ok=True)
        write_csv(each.folder / HISTORY, histories[name])
        draw_training({name: histories[name]}, {name: histograms[name]}, each.folder / FIGURE, title=title)
        write_report(each.folder, each.training, each.fidelity, asked, model)
        save(each.dictionary, each.folder, format=format)  # last: a folder that has it is finished
    if len(found.found) > 1:
        write_csv(folder / COMPARISON, found.frame())
        draw_training(histories, histograms, folder / FIGURE, title=title)
