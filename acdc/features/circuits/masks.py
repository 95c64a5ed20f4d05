"""Which nodes a circuit keeps, as masks over features and errors; and sums over the positions that nodes are of."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.errors import CircuitError
from acdc.features.circuits.nodes import NodeName
from acdc.features.circuits.placed import Placed
from acdc.prompts.batch import PromptBatch

__all__ = ["Kept", "checked_node", "summed", "token_groups"]


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept at each dictionary's site, by span; without spans there is one row.

    Attributes:
        features: `[n_spans n_features]` for each dictionary.
        errors: `[n_spans]` for each.
    """

    features: tuple[Bool[Tensor, "n_spans _"], ...]
    errors: tuple[Bool[Tensor, " n_spans"], ...]

    @classmethod
    def all(cls, placed: Placed, spans: tuple[str, ...], value: bool) -> "Kept":
        """Every node, or none."""
        rows, device = max(1, len(spans)), placed.dictionaries[0].encoder.device
        widths = [each.n_features for each in placed.dictionaries]
        return cls(
            tuple(torch.full((rows, width), value, device=device) for width in widths),
            tuple(torch.full((rows,), value, device=device) for _ in widths),
        )

    @classmethod
    def of(cls, placed: Placed, spans: tuple[str, ...], names: Iterable[NodeName]) -> "Kept":
        """Some nodes alone; one that names no span is meant at all of them.

        Raises:
            CircuitError: There is no such node.
        """
        kept = cls.all(placed, spans, False)
        for name in names:
            i, rows = checked_node(placed, spans, name)
            if name.index is None:
                kept.errors[i][rows] = True
            else:
                kept.features[i][rows, name.index] = True
        return kept

    def __and__(self, other: "Kept") -> "Kept":
        return Kept(
            tuple(a & b for a, b in zip(self.features, other.features, strict=True)),
            tuple(a & b for a, b in zip(self.errors, other.errors, strict=True)),
        )

    def __invert__(self) -> "Kept":
        return Kept(tuple(~each for each in self.features), tuple(~each for each in self.errors))


def checked_node(placed: Placed, spans: tuple[str, ...], name: NodeName) -> tuple[int, slice | int]:
    """Which dictionary a node is of, and which rows of masks.

    Raises:
        CircuitError: No dictionary writes there, it has no such feature, or the prompts have no such span.
    """
    if name.site not in placed.sites:
        there = ", ".join(map(str, placed.sites))
        raise CircuitError(f"{name} is no node here: dictionaries are given at {there}")
    i = placed.sites.index(name.site)
    n = placed.dictionaries[i].n_features
    if name.index is not None and not 0 <= name.index < n:
        called = placed.dictionaries[i].name
        raise CircuitError(f"{name} is no node here: dictionary {called!r} has {n:,} features, 0 to {n - 1}")
    if name.span and name.span not in spans:
        there = f"spans {', '.join(spans)}" if spans else "no spans (positions 'spans' splits by those of the task)"
        raise CircuitError(f"{name} is no node here: the prompts have {there}")
    return i, spans.index(name.span) if name.span else slice(None)


def token_groups(batch: PromptBatch) -> Int[Tensor, "batch pos"]:
    """The row of masks that each token is of."""
    return torch.zeros_like(batch.clean) if batch.span_ids is None else batch.span_ids


def summed(x: Float[Tensor, "batch pos *n"], batch: PromptBatch) -> Float[Tensor, "n_spans *n"]:
    """Sums over the tokens of each span, of all prompts, padding left out; in float64."""
    real = batch.attention
    groups, values = token_groups(batch)[real], x[real].double()
    found = torch.zeros(max(1, len(batch.spans)), *x.shape[2:], dtype=torch.float64, device=x.device)
    return found.index_add_(0, groups, values)
