"""A dictionary: a sparse autoencoder (SAE), a transcoder, or one layer of a cross-layer transcoder.

    features = activation(x' W_encᵀ + b_enc),  x' = x, or x - b_dec where the encoder takes it off
    reconstruction = features W_dec + b_dec (+ x W_skipᵀ)

An SAE writes where it reads. A transcoder reads what an MLP reads and writes what the MLP writes; a layer of a
cross-layer transcoder writes at its own layer's MLP and at later ones.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import ModelError
from acdc.features.activations import Activation
from acdc.features.sites import Site, width_of
from acdc.models import PatchableModel

__all__ = ["Dictionary", "Normalization", "Rows"]


@runtime_checkable
class Rows(Protocol):
    """Rows of a decoder, `[n_features n_writes d_out]`: a tensor, or what reads
    them from a file when they are asked for."""

    @property
    def shape(self) -> torch.Size: ...

    def __getitem__(self, index: Int[Tensor, " k"] | slice, /) -> Float[Tensor, "k n_writes d_out"]: ...


@runtime_checkable
class Normalization(Protocol):
    """What a dictionary does to a token before it reads it, and undoes behind."""

    def __call__(self, x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens d"]: ...

    def undone(self, y: Float[Tensor, "*tokens d"], x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens d"]:
        """What it means for `y`, made from the normalised `x`, not to be normalised."""
        ...


@dataclass(frozen=True, eq=False)
class Dictionary:
    """One dictionary.

    Attributes:
        name: Where it comes from, for messages and pictures.
        reads: The site whose values are encoded.
        writes: The sites that are reconstructed; of an SAE `(reads,)`.
        encoder: A feature's direction in what is read, `[n_features d_in]`.
        b_enc: Added to the pre-activations.
        decoder: What a feature writes at each of the sites, `[n_features n_writes d_out]`.
        b_dec: Added to each reconstruction, `[n_writes d_out]`.
        activation: From pre-activations to features.
        takes_off_b_dec: The encoder reads `x - b_dec`.
        skip: A linear path from what is read to the first of the sites that are written, `[d_out d_in]`.
        normalization: Of each token; one factor for all tokens is part of the weights.
        model: The model that it was trained on, by the name that its file gives; empty where it gives none.
        details: What else its file says, by the file's own keys.
    """

    name: str
    reads: Site
    writes: tuple[Site, ...]
    encoder: Float[Tensor, "n_features d_in"]
    b_enc: Float[Tensor, " n_features"]
    decoder: Rows
    b_dec: Float[Tensor, "n_writes d_out"]
    activation: Activation
    takes_off_b_dec: bool = False
    skip: Float[Tensor, "d_out d_in"] | None = None
    normalization: Normalization | None = None
    model: str = ""
    details: dict[str, Any] | None = None

    @property
    def n_features(self) -> int:
        """Its width: how many features it has."""
        return len(self.encoder)

    @property
    def d_in(self) -> int:
        return self.encoder.shape[1]

    @property
    def d_out(self) -> int:
        return self.b_dec.shape[1]

    @property
    def is_sae(self) -> bool:
        """Whether it reconstructs what it reads."""
        return self.writes == (self.reads,)

    def pre_activations(self, x: Float[Tensor, "*tokens d_in"]) -> Float[Tensor, "*tokens n_features"]:
        """What the activation reads."""
        x = x if self.normalization is None else self.normalization(x)
        x = x - self.b_dec[0] if self.takes_off_b_dec else x
        return x @ self.encoder.T + self.b_enc

    def encode(self, x: Float[Tensor, "*tokens d_in"]) -> Float[Tensor, "*tokens n_features"]:
        """How strongly each feature is there."""
        return self.activation(self.pre_activations(x))

    def decode(
        self,
        features: Float[Tensor, "*tokens n_features"],
        x: Float[Tensor, "*tokens d_in"] | None = None,
        *,
        site: Site | None = None,
    ) -> Float[Tensor, "*tokens d_out"]:
        """The reconstruction from features.

        Args:
            x: What was read; needed where the dictionary has a skip connection or normalises each token.
            site: Which of the sites that it writes; the first if not given.
        """
        if x is None and (self.skip is not None or self.normalization is not None):
            raise ModelError(f"dictionary {self.name!r} decodes with a view to what it read: give x too")
        at = 0 if site is None else self._index(site)
        features, rows = self._with_rows(features)
        found = features @ rows[:, at] + self.b_dec[at]
        if x is not None and self.skip is not None and at == 0:
            found = found + (x if self.normalization is None else self.normalization(x)) @ self.skip.T
        return found if self.normalization is None or x is None else self.normalization.undone(found, x)

    def _with_rows(self, features: Tensor) -> tuple[Tensor, Float[Tensor, "k n_writes d_out"]]:
        """The features and their rows: of a decoder that isn't in memory those alone that some token has, unless a
        gradient of the others is wanted."""
        if isinstance(self.decoder, Tensor) or features.requires_grad:
            return features, self.decoder[:]
        active = features.flatten(0, -2).ne(0).any(0).nonzero()[:, 0]
        return features[..., active], self.decoder[active]

    def directions(self, index: Int[Tensor, " k"], *, site: Site | None = None) -> Float[Tensor, "k d_out"]:
        """What features write at a site, each when it is 1; the first of its sites if not given."""
        return self.decoder[index][:, 0 if site is None else self._index(site)]

    def _index(self, site: Site) -> int:
        if site not in self.writes:
            raise ModelError(f"dictionary {self.name!r} writes {', '.join(map(str, self.writes))}, not {site}")
        return self.writes.index(site)

    def to(self, *place: torch.device | torch.dtype) -> "Dictionary":
        """The same on another device, or in another type; a decoder that is read row by row is read whole."""
        tensors: dict[str, Any] = {
            "encoder": self.encoder,
            "b_enc": self.b_enc,
            "decoder": self.decoder[:],
            "b_dec": self.b_dec,
            "skip": self.skip,
        }
        for where in place:
            tensors = {name: None if x is None else x.to(where) for name, x in tensors.items()}
        return replace(self, activation=self.activation.to(*place), **tensors)

    def check_fits(self, model: PatchableModel) -> None:
        """Raise `ModelError` unless the model has the dictionary's sites, of its widths."""
        for site, width, verb in ((self.reads, self.d_in, "reads"), *((s, self.d_out, "writes") for s in self.writes)):
            there = width_of(model, site)
            if there != width:
                trained = f" (trained on {self.model!r})" if self.model else ""
                raise ModelError(
                    f"dictionary {self.name!r}{trained} {verb} {width} dimensions at {site}, but {model.name!r} has "
                    f"{there} there: is it another model's?"
                )
