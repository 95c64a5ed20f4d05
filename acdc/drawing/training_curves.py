"""A picture of how dictionaries' training went, and how often their features are on."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acdc.evaluation.figures import BLUE, new_figure, save_figure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["draw_training"]

LEGEND = 12  # names at most; of more lines every second one is named, and so on


def draw_training(
    histories: Mapping[str, "pd.DataFrame"], histograms: Mapping[str, "pd.DataFrame"], path: Path, *, title: str = ""
) -> Path:
    """Explained variance and dead features by steps, and features by density, a line a dictionary.

    Args:
        histories: Rows of `DictionaryTraining.frame`, by the dictionary's name.
        histograms: Rows of `Fidelity.histogram`, by the same names.
    """
    figure = new_figure(path, (10.5, 3.2))
    left, middle, right = figure.subplots(1, 3)
    for (name, rows), colour in zip(histories.items(), _colours(len(histories)), strict=True):
        left.plot(rows["step"], rows["explained_variance"], lw=1, color=colour)
        middle.plot(rows["step"], rows["dead"], lw=1, color=colour)
        bins = histograms[name].iloc[1:]
        right.step(bins["high"], bins["n_features"], where="pre", lw=1, color=colour, label=name)
    left.set(xlabel="step", ylabel="explained variance of a batch", ylim=(0, 1))
    middle.set(xlabel="step", ylabel="share of dead features", ylim=(0, 1))
    right.set(xlabel="share of tokens on which a feature is on", ylabel="features", xscale="log", ylim=(0, None))
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    if len(histories) > 1:
        lines, names = right.get_legend_handles_labels()
        every = -(-len(names) // LEGEND)
        right.legend(lines[::every], names[::every], frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle(title, fontsize=10, parse_math=False)
    return save_figure(figure, path)


def _colours(n: int) -> list[Any]:
    """As many colours, from dark to light: dictionaries come in the order of their sites and of their k."""
    from matplotlib import colormaps

    return [BLUE] if n == 1 else [colormaps["viridis"](0.9 * i / (n - 1)) for i in range(n)]
