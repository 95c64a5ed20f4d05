"""Slices of the text as a reader sees them."""

import numpy as np
from jaxtyping import Float, Int

from acdc.features.reading.record import FeatureReading
from acdc.features.reading.windows import Window

__all__ = ["excerpts"]


def excerpts(
    reading: FeatureReading, where: Int[np.ndarray, " k"], acts: Float[np.ndarray, "k pos"] | None = None
) -> tuple[Window, ...]:
    """What stands around tokens of the text, without what is outside of its windows; none of -1."""
    slices = reading.seen.slices(where)
    found = []
    for i in np.flatnonzero(where >= 0):
        inside = slices.ids[i] >= 0
        ids = tuple(slices.ids[i][inside].tolist())
        before, behind = slices.before[i][inside], slices.behind[i][inside]
        found.append(
            Window(
                tokens=tuple(reading.names[token] for token in ids),
                ids=ids,
                counted=tuple((before >= reading.about.skip).tolist()),
                activations=() if acts is None else tuple(acts[i][inside].tolist()),
                before=int(before[0]),
                behind=int(behind[-1]),
            )
        )
    return tuple(found)
