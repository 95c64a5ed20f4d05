"""Which features fire on a prompt, where, and how strongly."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.features.dictionary import Dictionary
from acdc.features.sites import through_sites
from acdc.models import PatchableModel
from acdc.prompts.texts import text_batch
from acdc.prompts.tokens import pieces

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Firing", "features_on"]


@dataclass(frozen=True)
class Firing:
    """What features do on a prompt.

    Attributes:
        tokens: The prompt's, as they read; what the tokenizer puts before it included.
        activations: Of every feature at every token.
    """

    tokens: tuple[str, ...]
    activations: Float[Tensor, "pos n"]

    def frame(self) -> "pd.DataFrame":
        """One row a feature and a token on which it fires, the strongest first: `feature`, `position`, `token`,
        `activation`."""
        import pandas as pd

        position, feature = self.activations.nonzero(as_tuple=True)
        frame = pd.DataFrame(
            {
                "feature": feature.tolist(),
                "position": position.tolist(),
                "token": [self.tokens[i] for i in position.tolist()],
                "activation": self.activations[position, feature].double().tolist(),
            }
        )
        return frame.sort_values("activation", ascending=False, ignore_index=True, kind="stable")


@torch.no_grad()
def features_on(model: PatchableModel, dictionary: Dictionary, prompt: str, *, bos: bool | None = None) -> Firing:
    """Run a prompt and encode it.

    The first token is told too; on it many features fire that say nothing of the text.

    Raises:
        ModelError: The dictionary is another model's.
        TaskError: The prompt is empty, or longer than the model's context.
    """
    dictionary.check_fits(model)
    batch = text_batch([prompt], model.tokenizer, bos=bos, name="prompt")
    model.check_batch(batch)
    batch, dictionary = batch.to(model.device), dictionary.to(model.device)
    held = through_sites(model, batch, batch.clean, lambda _, x: x, stop=dictionary.reads)
    tokens = pieces(model.tokenizer, batch.clean[0].tolist())
    return Firing(tuple(tokens), dictionary.encode(held.to(dictionary.encoder))[0].cpu())
