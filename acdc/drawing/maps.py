"""Heat maps of an explanation's sections: what a lens reads, what patching restores or breaks."""

from collections.abc import Sequence
from typing import Literal

from acdc.drawing.heat_map import HeatMap
from acdc.errors import counted
from acdc.interpret.explanation import Lens, PatchingMap

__all__ = ["lens_map", "patching_map"]

MOST_ROWS = 64  # of a patching map
MOST_NUMBERS = 200  # cells with a number in each
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
    """A patching map: 0 nothing, 1 all of the difference between the two prompts.

    A map of few cells has its numbers in them; of one with many rows, like heads by positions, those of the largest
    effects are shown.
    """
    kept = _strongest(patching.values)
    values = [patching.values[i] for i in kept]
    left_out = (
        f" ({len(kept)} of {len(patching.rows)} rows, of the largest effects)" if values != patching.values else ""
    )
    few = sum(map(len, values)) <= MOST_NUMBERS
    place = {row: i for i, row in enumerate(kept)}
    means = f"{patching.metric}: {patching.clean:.4g} clean, {patching.corrupt:.4g} corrupted"
    note = f"{means}; mean of {counted(patching.n_prompts, 'prompt')}"
    return HeatMap(
        [patching.rows[i] for i in kept],
        patching.columns,
        values,
        title=f"{patching.direction}, {patching.site}{left_out}",
        unit="share of the difference",
        texts=[["" if x is None else f"{x:.2f}" for x in row] for row in values] if few else (),
        both_ways=True,
        shaded=[(place[row], column) for row, column in patching.trivial if row in place],
        note=note + ("; hatched: so by construction" if patching.trivial else ""),
    )


def _strongest(values: Sequence[Sequence[float | None]]) -> list[int]:
    """The rows that are shown, in order."""
    strength = [max((abs(x) for x in row if x is not None), default=0.0) for row in values]
    return sorted(sorted(range(len(values)), key=lambda i: -strength[i])[:MOST_ROWS])
