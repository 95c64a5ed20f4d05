"""Where a dictionary that is trained reads and writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from acdc.errors import ModelError, RunError
from acdc.features.sites import Site, sites_of, width_of
from acdc.models import PatchableModel

__all__ = ["Place", "places_of"]


@dataclass(frozen=True)
class Place:
    """One dictionary's sites; of an SAE both are the same."""

    reads: Site
    writes: Site

    def __str__(self) -> str:
        return f"{self.reads}" if self.is_sae else f"{self.reads} to {self.writes}"

    @property
    def is_sae(self) -> bool:
        return self.reads == self.writes

    def of(self, values: Mapping[Site, Tensor]) -> tuple[Tensor, Tensor | None]:
        """What is read, and what is to be written, of what the sites hold; None of an SAE."""
        return values[self.reads], None if self.is_sae else values[self.writes]


def places_of(
    model: PatchableModel, reads: Site | Sequence[Site], writes: Site | Sequence[Site] | None
) -> tuple[Place, ...]:
    """The places of sites that are read and written, in pairs.

    Args:
        writes: None of SAEs.

    Raises:
        RunError: There are not as many of both, or none, or one is named twice.
        ModelError: The model has no such site, or computes what is to be written before what is read.
    """
    inputs = (reads,) if isinstance(reads, Site) else tuple(reads)
    outputs = inputs if writes is None else (writes,) if isinstance(writes, Site) else tuple(writes)
    if len(inputs) != len(outputs) or not inputs:
        raise RunError(f"there must be as many sites that are read as written, not {len(inputs)} and {len(outputs)}")
    if len(set(inputs)) < len(inputs):
        raise RunError(f"each site can be read by one dictionary of a kind: {', '.join(map(str, inputs))}")
    for site in (*inputs, *outputs):
        width_of(model, site)
    order = sites_of(model)
    for one, other in zip(inputs, outputs, strict=True):
        if order.index(other) < order.index(one):
            raise ModelError(f"a transcoder can't read {one} and write {other}, which the model computes before it")
    return tuple(map(Place, inputs, outputs))
