"""Dictionaries that were trained together, and the folder that they are saved in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acdc.features.dictionary import Dictionary
from acdc.features.fidelity import Fidelity
from acdc.features.formats import save
from acdc.features.training.training import DictionaryTraining
from acdc.files import write_csv
from acdc.models import PatchableModel
from acdc.runs.features.dictionary_card import write_report, write_set_card

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrainedDictionaries", "TrainedDictionary", "save_trained"]

COMPARISON, HISTORY, FIGURE = "comparison.csv", "training.csv", "training.svg"


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
    """Dictionaries of one site, or of several, at each from the sparsest on."""

    found: tuple[TrainedDictionary, ...]

    def frame(self) -> "pd.DataFrame":
        """One row a dictionary: where it reads and writes, `variant`, `width`, `k`, and what was measured on text held
        out."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for each in self.found:
            recipe = each.training.recipe
            told: dict[str, Any] = {"reads": str(each.dictionary.reads), "writes": str(each.dictionary.writes[0])}
            told |= {"variant": recipe.variant, "width": recipe.width, "k": recipe.k}
            rows.append(told | each.fidelity.as_dict() | {"folder": str(each.folder)})
        return pd.DataFrame(rows)


def save_trained(found: TrainedDictionaries, folder: Path, asked: dict[str, Any], model: PatchableModel) -> None:
    """Write each dictionary's weights, table, figure and card; of several their comparison, and a card of each set.

    Args:
        asked: What was asked for, for the cards.
    """
    for each in found.found:
        each.folder.mkdir(parents=True, exist_ok=True)
        write_csv(each.folder / HISTORY, each.training.frame())
        _draw([each], each.folder / FIGURE, model)
        write_report(each.folder, each.training, each.fidelity, asked, model)
        save(each.dictionary, each.folder, format=_format(each))  # last: a folder that has it is finished
    if len(found.found) == 1:
        return
    write_csv(folder / COMPARISON, found.frame())
    _draw(found.found, folder / FIGURE, model)
    for inside in sorted({each.folder.parent for each in found.found}):
        of_set = [each for each in found.found if each.folder.parent == inside]
        if len({each.dictionary.reads for each in of_set}) > 1:
            write_set_card(inside, [each.training for each in of_set], [each.fidelity for each in of_set], asked, model)


def _format(trained: TrainedDictionary) -> str:
    """SAELens's, which has no transcoders with TopK: sparsify's of these."""
    return "sparsify" if trained.training.recipe.variant == "topk" and not trained.dictionary.is_sae else "saelens"


def _draw(found: Sequence[TrainedDictionary], path: Path, model: PatchableModel) -> None:
    from acdc.drawing.training_curves import draw_training

    sites = len({each.dictionary.reads for each in found}) > 1
    sparsities = len({each.training.recipe.k for each in found}) > 1
    names = [_name(each, sites, sparsities) for each in found]
    title = f"{found[0].training.recipe.variant} of {'several sites' if sites else found[0].dictionary.name}"
    draw_training(
        {name: each.training.frame() for name, each in zip(names, found, strict=True)},
        {name: each.fidelity.histogram() for name, each in zip(names, found, strict=True)},
        path,
        title=f"{title}, {found[0].dictionary.n_features:,} features, {model.name}",
    )


def _name(trained: TrainedDictionary, sites: bool, sparsities: bool) -> str:
    """What a line of a picture is called, by what tells it from others."""
    k = f"k {trained.training.recipe.k}"
    return f"{trained.dictionary.reads}, {k}" if sites and sparsities else str(trained.dictionary.reads) if sites else k
