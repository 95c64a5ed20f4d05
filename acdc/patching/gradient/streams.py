"""The residual streams of one run: all that a backward pass starts from."""

from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor

from acdc.patching.activations import ActivationCache

__all__ = ["ResidualStreams"]


@dataclass(frozen=True)
class ResidualStreams:
    """What destinations read in one run.

    Attributes:
        resid_pre, resid_mid: By layer, what attention and the MLP read; only of the layers that the run computed.
        final: What the logits read.
        cut: A component, like ("mlp", 3), whose output was set, and so depends on nothing.
    """

    resid_pre: dict[int, Float[Tensor, "batch pos d_model"]]
    resid_mid: dict[int, Float[Tensor, "batch pos d_model"]]
    final: Float[Tensor, "batch pos d_model"]
    cut: tuple[str, int] | None = None

    @classmethod
    def of(cls, run: ActivationCache, prompts: Int[Tensor, " n"], start: int) -> "ResidualStreams":
        """Those of a whole batch's run, for some prompts, from a column on."""
        pre, mid = ({layer: x[prompts, start:] for layer, x in enumerate(xs)} for xs in (run.resid_pre, run.resid_mid))
        return cls(pre, mid, run.final[prompts, start:])

    def below(self, other: "ResidualStreams", cut: tuple[str, int] | None) -> "ResidualStreams":
        """These streams at the layers that `other` didn't compute, else `other`'s."""
        return replace(
            other, resid_pre=self.resid_pre | other.resid_pre, resid_mid=self.resid_mid | other.resid_mid, cut=cut
        )
