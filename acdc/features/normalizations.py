"""What some dictionaries do to each token before they read it, and undo behind, as SAELens has it."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

__all__ = ["Centred", "ConstantNorm", "LayerNorm"]


@dataclass(frozen=True)
class Centred:
    """Each token's mean is taken off, as TransformerLens's `center_writing_weights` does in models with layer norms,
    which never see it."""

    def __call__(self, x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens d"]:
        return x - x.mean(-1, keepdim=True)

    def undone(self, y: Float[Tensor, "*tokens d"], x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens d"]:
        return y + x.mean(-1, keepdim=True)


@dataclass(frozen=True)
class ConstantNorm:
    """Each token is scaled to the norm `sqrt(d)` (SAELens: `constant_norm_rescale`)."""

    def __call__(self, x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens d"]:
        return x * self._factor(x)

    def undone(self, y: Float[Tensor, "*tokens d"], x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens d"]:
        return y / self._factor(x)

    def _factor(self, x: Tensor) -> Tensor:
        return x.shape[-1] ** 0.5 / x.norm(dim=-1, keepdim=True)


@dataclass(frozen=True)
class LayerNorm:
    """Each token's mean is taken off, and it is divided by its standard deviation (of d - 1) and a little more
    (SAELens: `layer_norm`)."""

    eps: float = 1e-5

    def __call__(self, x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens d"]:
        x = x - x.mean(-1, keepdim=True)
        return x / (x.std(-1, keepdim=True) + self.eps)

    def undone(self, y: Float[Tensor, "*tokens d"], x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens d"]:
        return y * x.std(-1, keepdim=True) + x.mean(-1, keepdim=True)
