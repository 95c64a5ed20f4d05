"""What removed edges carry, one file a kind.

| kind | a source writes, ablated |
|---|---|
| `corrupt` | what it writes on the corrupted prompt |
| `zero` | zero |
| `mean-positional` | its mean over the corrupted prompts, position by position |
| `mean-all` (`mean`) | its mean over all positions of all corrupted prompts |
| `optimal` | the constant that harms the model's predictions least when this source alone is ablated, learned |
| `noise` | what it writes on the clean prompt after noise on the embeddings |
| `resample` | what it writes on another clean prompt |

Every module here that declares an `ABLATION` adds one. Runs record these names and no alias: up to version 0.2.0 `mean`
meant what is `mean-positional` now, and what is recorded as `mean` is still read so (`acdc.runs.records`).
"""

from collections.abc import Callable

import torch

from acdc.models import PatchableModel
from acdc.options.defaults import MASKED_MEMORY, SEED
from acdc.patching.ablation import Ablated, Ablation, everywhere
from acdc.patching.ablations.keeper import Keeper
from acdc.patching.activations import NodeOutputs
from acdc.progress import Progress
from acdc.prompts.batch import PromptBatch
from acdc.registry import Registry, declared

__all__ = ["ABLATIONS", "ablate"]

ABLATIONS: Registry[Ablation] = Registry.of("ablation", declared(__name__, "ABLATION"), aliases={"mean": "mean-all"})


@torch.no_grad()
def ablate(
    kind: str,
    model: PatchableModel,
    batch: PromptBatch,
    clean: NodeOutputs,
    *,
    seed: int = SEED,
    learned: NodeOutputs | None = None,
    memory: int | None = None,
    keeper: Keeper | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Ablated:
    """Ablated outputs of this kind.

    Args:
        learned: Constants that a kind which learns them has learned before, on other prompts perhaps.
        memory: About how many bytes a step of its training may take; 1 GiB if None.
        keeper: Where it keeps its training, so that a stopped one goes on.

    Raises:
        UnknownNameError: There is no such ablation.
        TaskError: The batch doesn't allow it.
    """
    ablation = ABLATIONS.find(kind)
    if not ablation.learns:
        return ablation.make(model, batch, clean, seed)
    if learned is not None:
        return everywhere(learned, batch, learned=True)
    room = MASKED_MEMORY if memory is None else memory
    return ablation.make(model, batch, clean, seed, memory=room, keeper=keeper, progress=progress)
