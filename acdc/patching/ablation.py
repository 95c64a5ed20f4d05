"""What a removed edge carries instead: one value per source, prompt and position. Its kinds are in `ablations`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from jaxtyping import Bool, Int
from torch import Tensor

from acdc.patching.activations import NodeOutputs
from acdc.prompts.batch import PromptBatch

__all__ = ["Ablated", "Ablation", "everywhere", "from_first", "of_each"]


@dataclass(frozen=True)
class Ablated:
    """Ablated outputs of all sources.

    Attributes:
        active: The positions at which they can differ from the clean ones; before, all is constant (fact 5).
        coherent: They are one run's, so a node that reads nothing but ablated outputs writes its own ablated output. Of
            others, like zeros and means, it writes something else, and so matters without any kept edge into it.
        learned: Constants that were learned on some prompts, and hold on all others: see `everywhere`.
    """

    outputs: NodeOutputs
    active: Bool[Tensor, "batch pos"]
    coherent: bool
    learned: NodeOutputs | None = None

    def select(self, prompts: Int[Tensor, " n"], start: int) -> "Ablated":
        """Those of some prompts, from a column on."""
        return replace(self, outputs=self.outputs.select(prompts, start), active=self.active[prompts, start:])


@dataclass(frozen=True)
class Ablation:
    """A way to make ablated outputs: `make(model, batch, clean outputs, seed)`.

    Attributes:
        learns: It learns constants. Then `make` takes `memory`, `keeper` and `progress` too: how many bytes a training
            may take, where it is kept and told; and what it gives has `learned`.
    """

    name: str
    summary: str
    make: Callable[..., Ablated]
    learns: bool = False


def everywhere(constants: NodeOutputs, batch: PromptBatch, *, learned: bool = False) -> Ablated:
    """Ablated outputs that are the same on every prompt and at every position.

    Args:
        constants: One vector a source, without tokens: `input` is `[d_model]`, z `[head d_head]`, mlp `[d_model]`.
    """
    tokens = batch.clean.shape

    def spread(x: Tensor) -> Tensor:  # [..., width] to [..., batch pos width]
        return x[..., None, None, :].expand(*x.shape[:-1], *tokens, x.shape[-1])

    return Ablated(of_each(spread, constants), batch.attention, coherent=False, learned=constants if learned else None)


def from_first(differ: Bool[Tensor, "batch pos"]) -> Bool[Tensor, "batch pos"]:
    """From each prompt's first difference on; the target always."""
    active = differ.cumsum(1) > 0
    active[:, -1] = True
    return active


def of_each(function: Callable[[Tensor], Tensor], outputs: NodeOutputs) -> NodeOutputs:
    """`function` of every tensor."""
    return NodeOutputs(function(outputs.input), tuple(map(function, outputs.z)), tuple(map(function, outputs.mlp)))
