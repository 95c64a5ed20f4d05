"""A circuit's forward pass: at each dictionary's site, features and errors that aren't kept have their ablated values.

    x' = x + decode(f') - decode(f) + ε' - ε,    f = encode(x),  ε = x - decode(f)

f' and ε' are f and ε where they are kept, and the ablated ones elsewhere. What a transcoder reads stands for the first
x, what it writes for the second. With everything kept nothing is added, so the logits are the model's to the last bit.

| errors | an error node is | a kept error has |
|---|---|---|
| `frozen` | chosen as features are | its value in the clean run |
| `running` | chosen as features are | its value in the circuit's own run, as in Marks et al.'s code |
| `kept` | always kept | its value in the circuit's own run |
| `removed` | always ablated | |

A running error follows whatever happens before it, and of a poor dictionary it is nearly all of the site: through it,
what was ablated upstream passes this dictionary by. A frozen one carries what it has in the clean run and no more.

Reference: Marks et al. 2024, Sparse feature circuits (arXiv 2403.19647), sections 3.1 and 3.2.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.features.circuits.masks import Kept, token_groups
from acdc.features.circuits.placed import Placed, Put
from acdc.features.dictionary import Dictionary
from acdc.features.sites import through_sites
from acdc.metrics import Objective
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

__all__ = ["Errors", "FeatureAblation", "FeatureRuns", "Piece", "SiteValues", "values_at"]

FeatureAblation = Literal["corrupt", "mean", "zero"]
Errors = Literal["frozen", "running", "kept", "removed"]
COPIES = 6  # of each site's features and activations, which a step holds at once
INSIDES = 16  # streams that a block keeps for its backward pass


@dataclass(frozen=True, eq=False)
class SiteValues:
    """What a dictionary makes of its site in a run: its features, and what they leave over; and what it read, and what
    was written there."""

    features: Float[Tensor, "batch pos n_features"]
    error: Float[Tensor, "batch pos d"]
    read: Float[Tensor, "batch pos d_in"]
    written: Float[Tensor, "batch pos d"]


@dataclass(frozen=True, eq=False)
class Piece:
    """Some of the prompts, that are run together.

    Attributes:
        share: Of all rows: what their mean loss counts.
        resid_pre: Of the clean run, by layer, at those from which runs begin.
    """

    batch: PromptBatch
    objective: Objective
    share: float
    resid_pre: Mapping[int, Float[Tensor, "batch pos d_model"]]


@dataclass(frozen=True, eq=False)
class FeatureRuns:
    """Runs of a problem's prompts in which features are seen and replaced.

    Attributes:
        ablation: What a node has that isn't kept: its value on the corrupted prompt (`corrupt`), its mean over the
            problem's corrupted prompts at as many tokens from the target (`mean`), or nothing (`zero`).
        errors: What becomes of errors: see above.
        memory: About how many bytes a step may take; prompts are run in pieces that fit.
    """

    problem: Problem
    placed: Placed
    ablation: FeatureAblation = "corrupt"
    errors: Errors = "frozen"
    memory: int | None = None

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The prompts, in parts that fit into memory."""
        batch, n = self.problem.batch, self.problem.batch.n
        rows = torch.arange(n, device=batch.clean.device).split(max(1, min(n, self.room // self._per_prompt)))
        return tuple(self._piece(each) for each in rows)

    @property
    def room(self) -> int:
        """About how many bytes a step may take."""
        return self.problem.step_memory if self.memory is None else self.memory

    @property
    def bytes_of_layer(self) -> int:
        """Of what a block keeps of a prompt for its backward pass."""
        graph, n_pos = self.problem.model.graph, self.problem.batch.n_pos
        return n_pos * (INSIDES * graph.d_model + 2 * graph.n_heads * n_pos) * self.problem.model.dtype.itemsize

    @property
    def _per_prompt(self) -> int:
        widths = sum(each.n_features + 2 * each.d_out for each in self.placed.dictionaries)
        own = COPIES * widths * self.problem.model.dtype.itemsize * self.problem.batch.n_pos
        n_layers = self.problem.model.graph.n_layers - min(each.writes[0].layer for each in self.placed.dictionaries)
        return own + n_layers * self.bytes_of_layer

    def _piece(self, rows: Int[Tensor, " n"]) -> Piece:
        whole, batch = self.problem.batch, self.problem.batch.select(rows)
        start = whole.n_pos - batch.n_pos
        layers = {site.layer for each in self.placed.dictionaries for site in (each.reads, each.writes[0])}
        resid = {layer: self.problem.clean.resid_pre[layer][rows, start:] for layer in layers}
        return Piece(batch, self.problem.objective.select(rows), len(rows) / whole.n, resid)

    # values

    @torch.no_grad()
    def clean(self, piece: Piece) -> list[SiteValues]:
        """What the dictionaries make of the clean run."""
        return self._look(piece, self.run_clean)

    @torch.no_grad()
    def corrupt(self, piece: Piece) -> list[SiteValues]:
        """What they make of the corrupted run."""
        model, batch = self.problem.model, piece.batch

        def run(piece: Piece, put: Put) -> None:
            through_sites(model, batch, batch.corrupt, self.placed.visit(put), stop=self.placed.sites[-1])

        return self._look(piece, run)

    def _look(self, piece: Piece, run: Callable[[Piece, Put], object]) -> list[SiteValues]:
        found = list[SiteValues]()

        def put(i: int, read: Tensor, written: Tensor) -> Tensor:
            found.append(values_at(self.placed.dictionaries[i], read, written))
            return written

        run(piece, put)
        return found

    def run_clean(self, piece: Piece, put: Put) -> Float[Tensor, "batch pos d_model"]:
        """The last residual stream of the clean prompts, of a run that begins with the first block that is read."""
        start = min(each.reads.layer for each in self.placed.dictionaries)
        return through_sites(
            self.problem.model,
            piece.batch,
            piece.batch.clean,
            self.placed.visit(put),
            embeddings=piece.resid_pre[start],
            start=start,
        )

    def ablated(self, piece: Piece) -> list[tuple[Tensor, Tensor]]:
        """The features and errors that nodes have which aren't kept, by site."""
        if self.ablation == "mean":
            n, wide = piece.batch.clean.shape
            return [(a[-wide:].expand(n, -1, -1), b[-wide:].expand(n, -1, -1)) for a, b in self._means]
        if self.ablation == "zero":
            like, tokens = self.problem.clean.final, piece.batch.clean.shape
            widths = [(each.n_features, each.d_out) for each in self.placed.dictionaries]
            return [(like.new_zeros(*tokens, n), like.new_zeros(*tokens, d)) for n, d in widths]
        return [(each.features, each.error) for each in self.corrupt(piece)]

    @cached_property
    def _means(self) -> list[tuple[Float[Tensor, "pos n_features"], Float[Tensor, "pos d"]]]:
        """Means over the corrupted prompts, column by column, of which the last holds every target."""
        batch, like = self.problem.batch, self.problem.clean.final
        sums = [
            (like.new_zeros(batch.n_pos, each.n_features), like.new_zeros(batch.n_pos, each.d_out))
            for each in self.placed.dictionaries
        ]
        for piece in self.pieces:
            real = piece.batch.attention[:, :, None]
            for (features, error), each in zip(sums, self.corrupt(piece), strict=True):
                features[-piece.batch.n_pos :] += (each.features * real).sum(0)
                error[-piece.batch.n_pos :] += (each.error * real).sum(0)
        count = batch.attention.sum(0)[:, None]  # of no column 0
        return [(features / count, error / count) for features, error in sums]

    @cached_property
    def _references(self) -> list[tuple[list[Tensor], list[tuple[Tensor, Tensor]]]]:
        return [self._reference(piece) for piece in self.pieces]

    def _reference(self, piece: Piece) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        return [each.error for each in self.clean(piece)], self.ablated(piece)

    def _with_references(self) -> Iterator[tuple[Piece, list[Tensor], list[tuple[Tensor, Tensor]]]]:
        """Pieces, with the clean errors and the ablated values; kept for the next time where there is but one."""
        for i, piece in enumerate(self.pieces):
            yield piece, *(self._references[i] if len(self.pieces) == 1 else self._reference(piece))

    # circuits

    @torch.no_grad()
    def logits(self, kept: Kept, *, note: Callable[[], None] = lambda: None) -> Float[Tensor, "batch vocab"]:
        """The circuit's logits at the targets.

        Args:
            note: Called behind each piece.
        """
        found = []
        for piece, errors, ablated in self._with_references():
            final = self.run_clean(piece, self._kept(kept, piece, errors, ablated))
            found.append(self.problem.model.unembed(final[:, -1]))
            note()
        return torch.cat(found)

    def loss(self, kept: Kept) -> float:
        """The circuit's loss, in the metric's unit; lower is better."""
        return self.problem.loss(self.logits(kept))

    def _kept(self, kept: Kept, piece: Piece, errors: list[Tensor], ablated: list[tuple[Tensor, Tensor]]) -> Put:
        groups = token_groups(piece.batch)

        def put(i: int, read: Tensor, written: Tensor) -> Tensor:
            each = self.placed.dictionaries[i]
            own = values_at(each, read, written)
            features = torch.where(kept.features[i][groups], own.features, ablated[i][0])
            changed = each.decode(features, read) - each.decode(own.features, read)
            return written + changed + self._error(kept.errors[i][groups], own.error, errors[i], ablated[i][1])

        return put

    def _error(self, kept: Tensor, own: Tensor, clean: Tensor, ablated: Tensor) -> Tensor:
        """What is added to an error that a run has."""
        if self.errors == "kept":
            return torch.zeros_like(own)
        if self.errors == "removed":
            return ablated - own
        return torch.where(kept[..., None], clean if self.errors == "frozen" else own, ablated) - own


def values_at(
    dictionary: Dictionary, read: Float[Tensor, "batch pos d_in"], written: Float[Tensor, "batch pos d"]
) -> SiteValues:
    """What a dictionary makes of what is read, and of what is written where it writes."""
    features = dictionary.encode(read)
    return SiteValues(features, written - dictionary.decode(features, read), read, written)
