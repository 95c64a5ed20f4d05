"""A dictionary's weights while they are trained, and the dictionary that they become.

They are trained on activations of a mean squared norm of 1: what is read is multiplied by one scalar, what is written
by another (for an SAE they are the same). When the training ends both are folded into the weights, so that the
dictionary reads and writes what the model has: its decoder's rows still have a norm of 1, so a feature of size a
writes a vector of length a.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Weights", "folded", "geometric_median"]

MEDIAN_STEPS = 50
TINY = 1e-12


@dataclass
class Weights:
    """Tensors that training changes in place.

    Attributes:
        encoder, decoder: A feature a row, `[n d_in]` and `[n d_out]`; the decoder's rows have a norm of 1.
        skip: `[d_out d_in]`; None where there is no skip connection.
        threshold: Of JumpReLU, one a feature or one for all; None where none is needed.
        takes_off_b_dec: The encoder reads `x - b_dec`, as an SAE's does.
    """

    encoder: Float[Tensor, "n d_in"]
    b_enc: Float[Tensor, " n"]
    decoder: Float[Tensor, "n d_out"]
    b_dec: Float[Tensor, " d_out"]
    skip: Float[Tensor, "d_out d_in"] | None = None
    threshold: Float[Tensor, "*n"] | None = None
    takes_off_b_dec: bool = True

    @classmethod
    def start(
        cls, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"] | None, n: int, *, skip: bool, seed: int
    ) -> "Weights":
        """Random directions; an SAE's encoder is its decoder, and its b_dec the geometric median of some tokens (Gao et
        al. 2024, appendix A.1). A transcoder's two sides are drawn apart, its features centred on what it reads.

        Args:
            y: What a transcoder writes; None of an SAE.
        """
        draw = torch.Generator().manual_seed(seed)
        out = x if y is None else y
        decoder = _directions(n, out.shape[1], draw).to(x)
        encoder = decoder.clone() if y is None else _directions(n, x.shape[1], draw).to(x)
        b_enc = x.new_zeros(n) if y is None else -encoder @ x.mean(0)
        linear = x.new_zeros(out.shape[1], x.shape[1]) if skip else None
        return cls(encoder, b_enc, decoder, geometric_median(out), linear, takes_off_b_dec=y is None)

    def tensors(self) -> dict[str, Tensor]:
        """Those that there are, by name."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}

    def pre(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens n"]:
        """The pre-activations."""
        return (x - self.b_dec if self.takes_off_b_dec else x) @ self.encoder.T + self.b_enc

    def written(self, features: Float[Tensor, "tokens n"], x: Float[Tensor, "tokens d_in"]) -> Tensor:
        """The reconstruction, `[tokens d_out]`."""
        found = features @ self.decoder + self.b_dec
        return found if self.skip is None else found + x @ self.skip.T

    @torch.no_grad()
    def drop_parallel_gradient(self) -> None:
        """Take off the decoder's gradient what would only lengthen or shorten its rows."""
        if self.decoder.grad is not None:
            along = (self.decoder.grad * self.decoder).sum(1, keepdim=True)
            self.decoder.grad -= along * self.decoder

    @torch.no_grad()
    def unit_rows(self) -> None:
        """Give the decoder's rows a norm of 1 again."""
        self.decoder /= self.decoder.norm(dim=1, keepdim=True).clamp_min(TINY)


def folded(weights: Weights, scale_in: float, scale_out: float) -> dict[str, Any]:
    """The weights that do to activations as they are what these do to `x scale_in` and `y scale_out`.

        f' = f / scale_out,  y' = y / scale_out

    so that the decoder's rows stay as long as they are.
    """
    ratio = scale_in / scale_out
    found: dict[str, Any] = {name: tensor.detach().clone() for name, tensor in weights.tensors().items()}
    by = {"encoder": ratio, "skip": ratio, "b_enc": 1 / scale_out, "b_dec": 1 / scale_out, "threshold": 1 / scale_out}
    return {name: tensor * by.get(name, 1.0) for name, tensor in found.items()}


def geometric_median(points: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """The point whose distances to these add up to least, by Weiszfeld's steps; a few far ones hardly move it."""
    guess = points.mean(0)
    for _ in range(MEDIAN_STEPS):
        weight = 1 / (points - guess).norm(dim=1).clamp_min(TINY)
        guess = weight @ points / weight.sum()
    return guess


def _directions(n: int, d: int, draw: torch.Generator) -> Float[Tensor, "n d"]:
    return torch.nn.functional.normalize(torch.randn(n, d, generator=draw, dtype=torch.float64), dim=1)
