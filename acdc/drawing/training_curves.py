"""A picture of how dictionaries' training went, and how often their features are on."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from acdc.evaluation.figures import new_figure, save_figure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["draw_training"]


def draw_training(
    histories: Mapping[str, "pd.DataFrame"], histograms: Mapping[str, "pd.DataFrame"], path: Path, *, title: str = ""
) -> Path:
    """Explained variance and dead features by steps, and features by density, a line a dictionary.

    Args:
        histories: Rows of `DictionaryTraining.frame`, by the dictionary's name.
        histograms: Rows of `Fidelity.histogram`, by the same names.
    """
    figure = new_figure(path, (9.5, 3.2))
    left, middle, right = figure.subplots(1, 3)
    for name, rows in histories.items():
        left.plot(rows["step"], rows["explained_variance"], lw=1, label=name)
        middle.plot(rows["step"], rows["dead"], lw=1, label=name)
        bins = histograms[name].iloc[1:]
        right.step(bins["high"], bins["n_features"], where="pre", lw=1, label=name)
    left.set(xlabel="step", ylabel="explained variance of a batch", ylim=(0, 1))
    middle.set(xlabel="step", ylabel="share of dead features", ylim=(0, 1))
    right.set(xlabel="share of tokens", ylabel="features that are on as often", xscale="log")
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    if len(histories) > 1:
        right.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10, parse_math=False)
    return save_figure(figure, path)
