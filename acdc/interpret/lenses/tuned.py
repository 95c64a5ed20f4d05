"""The tuned lens: an affine map for each layer, from its residual stream to what the unembedding reads.

    translate_l(h) = h + A_l h + b_l

With `A` and `b` zero it is the logit lens. The last residual stream has none.

Reference: Belrose et al. 2023 (arXiv 2303.08112), Eliciting latent predictions from transformers with the tuned lens.
"""

import hashlib
import logging
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from acdc.errors import ModelError
from acdc.interpret.lenses.lens import Lens
from acdc.metrics.answers import wide
from acdc.models import PatchableModel

__all__ = ["TunedLens"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TunedLens:
    """The maps of a model's layers.

    Attributes:
        weight: `A`, as `[layer out in]`.
        bias: `b`.
        base: Name of the model that it was trained for, and its `revision`, if known.
        unembed_hash: Of that model's unembedding, as the package `tuned-lens` takes it; empty: not known.

    >>> lens = TunedLens(torch.zeros(2, 3, 3), torch.zeros(2, 3), "tiny")
    >>> lens.translate(1, torch.ones(1, 3))
    tensor([[1., 1., 1.]])
    """

    weight: Float[Tensor, "layer d_model d_model"]
    bias: Float[Tensor, "layer d_model"]
    base: str
    revision: str | None = None
    unembed_hash: str = ""

    @classmethod
    def zero(cls, model: PatchableModel) -> "TunedLens":
        """The lens that changes nothing, in float32 at least."""
        graph, like = model.graph, wide(model.components.unembed[:1])
        weight = like.new_zeros(graph.n_layers, graph.d_model, graph.d_model)
        return cls(weight, weight[:, 0].clone(), model.name, model.revision, hash_of(model.components.unembed))

    def translate(self, layer: int, resid: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        """The residual stream of a layer as the final norm and the unembedding read it."""
        return translated(self.weight[layer], self.bias[layer], resid)

    def of(self, model: PatchableModel) -> Lens:
        """The lens of this model, on its device; another unembedding than the one it was trained for is warned of.

        Raises:
            ModelError: It is for a model of other layers or another width.
        """
        graph, shape = model.graph, tuple(self.bias.shape)
        if shape != (graph.n_layers, graph.d_model):
            raise ModelError(
                f"the tuned lens is for {self.base!r}, of {shape[0]} layers and width {shape[1]}; "
                f"{model.name!r} has {graph.n_layers} layers and width {graph.d_model}"
            )
        if self.unembed_hash and self.unembed_hash != hash_of(model.components.unembed):
            logger.warning(
                "the tuned lens was trained for another unembedding than %r has (for %r); its readings may be wrong",
                model.name,
                self.base,
            )
        here = TunedLens(self.weight.to(model.device), self.bias.to(model.device), self.base)
        return Lens("tuned lens", here.translate)


def translated(
    weight: Float[Tensor, "d_model d_model"], bias: Float[Tensor, " d_model"], resid: Float[Tensor, "row d_model"]
) -> Float[Tensor, "row d_model"]:
    """`h + A h + b`, computed in the type of the lens and given in that of the model."""
    h = resid.to(weight.dtype)
    return (h + torch.addmm(bias, h, weight.T)).to(resid.dtype)


def hash_of(unembed: Float[Tensor, "vocab d_model"]) -> str:
    """SHA-256 of how numpy prints the matrix with one decimal: the corners of it, whatever its precision."""
    printed = np.array_str(wide(unembed.detach()).cpu().numpy(), precision=1)
    return hashlib.sha256(printed.encode()).hexdigest()
