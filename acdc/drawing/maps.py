"""Heat maps of an explanation's sections: what a lens reads, what patching restores or breaks."""

from typing import Literal

from acdc.drawing.heat_map import HeatMap
from acdc.interpret.explanation import Lens, PatchingMap

__all__ = ["lens_map", "patching_map"]

UNITS = {
    "probability": "probability of the answer",
    "kl": "KL from the model's output, nats",
    "entropy": "entropy, nats",
    "rank": "rank of the answer",
}


def lens_map(lens: Lens, shown: Literal["probability", "kl", "entropy", "rank"] = "probability") -> HeatMap:
    """A lens's reading: colours by one of its numbers, in each cell the most probable token."""
    values = {"probability": lens.probability, "kl": lens.kl, "entropy": lens.entropy, "rank": lens.rank}[shown]
    texts = [[cell[0][0] if cell else "" for cell in row] for row in lens.top]
    note = "in each cell the most probable token; a lens is no intervention" if texts else "a lens is no intervention"
    return HeatMap(lens.rows, lens.columns, values, title=lens.kind, unit=UNITS[shown], texts=texts, note=note)


def patching_map(patching: PatchingMap) -> HeatMap:
    """A patching map: 0 nothing, 1 all of the difference between the two prompts."""
    note = f"{patching.metric}: {patching.clean:.4g} clean, {patching.corrupt:.4g} corrupted; mean of "
    return HeatMap(
        patching.rows,
        patching.columns,
        patching.values,
        title=f"{patching.direction}, {patching.site}",
        unit="share of the difference",
        both_ways=True,
        shaded=patching.trivial,
        note=note + f"{patching.n_prompts:,} prompts; hatched: so by construction",
    )
