"""Dictionaries in their places in a model: checked, and put into the order in which the model computes their sites."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from acdc.errors import ModelError
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site, Visit, sites_of
from acdc.models import PatchableModel

__all__ = ["Placed", "Put"]


Put = Callable[[int, Tensor, Tensor], Tensor]
"""`put(i, read, written)`: what goes on from where dictionary i writes, given what it reads and what is written."""


@dataclass(frozen=True, eq=False)
class Placed:
    """SAEs and transcoders of single layers, one a site, in the order of the sites that they write."""

    dictionaries: tuple[Dictionary, ...]

    @classmethod
    def on(cls, model: PatchableModel, dictionaries: Sequence[Dictionary]) -> "Placed":
        """Dictionaries on a model, in its dtype and on its device.

        Raises:
            ModelError: There is none; one is another model's, or writes at several layers; two write at one site.
        """
        if not dictionaries:
            raise ModelError("no dictionary is given: a feature circuit needs at least one, of some site of the model")
        for each in dictionaries:
            each.check_fits(model)
            if len(each.writes) > 1:
                raise ModelError(
                    f"dictionary {each.name!r} writes at {len(each.writes)} layers, as cross-layer transcoders do; a "
                    "node of a feature circuit stands at one site, with one error there, so give SAEs or transcoders "
                    "of single layers, or trace a prompt through this set (acdc trace PROMPT --dictionary SET)"
                )
        order = {site: i for i, site in enumerate(sites_of(model))}
        for each in dictionaries:
            if order[each.reads] > order[each.writes[0]]:
                raise ModelError(
                    f"dictionary {each.name!r} reads {each.reads}, behind {each.writes[0]}, which it writes"
                )
        placed = sorted(dictionaries, key=lambda each: order[each.writes[0]])
        _check_apart(placed)
        return cls(tuple(each.to(model.dtype, model.device) for each in placed))

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """Where they write: the sites of their features."""
        return tuple(each.writes[0] for each in self.dictionaries)

    def visit(self, put: Put) -> Visit:
        """What `through_sites` is to call for a run in which `put` says what goes on from where dictionaries write."""
        waiting = dict[int, Tensor]()  # transcoders, and what they have read

        def visit(site: Site, x: Tensor) -> Tensor:
            if site in self.sites:
                i = self.sites.index(site)
                x = put(i, waiting.pop(i, x), x)
            for i, each in enumerate(self.dictionaries):
                if each.reads == site and not each.is_sae:
                    waiting[i] = x
            return x

        return visit


def _check_apart(placed: Sequence[Dictionary]) -> None:
    """Raise `ModelError` where two dictionaries write at one site; a block's `resid_post` is the next one's
    `resid_pre`."""
    seen = dict[Site, Dictionary]()
    for each in placed:
        site = each.writes[0]
        same = Site(site.layer - 1, "resid_post") if site.kind == "resid_pre" and site.layer else site
        if same in seen:
            both = f"{seen[same].name!r} at {seen[same].writes[0]} and {each.name!r} at {site}"
            raise ModelError(f"two dictionaries stand at one site, {both}: give one of them")
        seen[same] = each
