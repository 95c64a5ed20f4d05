"""Text that has nothing to do with a task: what an intervention does to it is a side effect."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.errors import TaskError
from acdc.metrics.kl import kl
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_batch
from acdc.task.words import spellable

__all__ = ["mean_kl", "neutral_batch"]

SENTENCES = (
    "The river rises in the hills north of the town and flows slowly towards the sea.",
    "Most of the roof was replaced last spring, after the storm had damaged it.",
    "To make the dough, mix flour and water, add a little salt, and let it rest for an hour.",
    "The museum opens at nine in the morning and closes early on Sundays.",
    "Heavy rain is expected in the west, while the east stays dry and mild.",
    "The committee will meet again next month to discuss the budget.",
    "A good map shows not only the roads but also the height of the land.",
    "She had read the letter twice before she noticed the date at the top.",
    "Plants need light, water and air, and some of them need very little soil.",
    "The train was late again, so the passengers waited on the cold platform.",
    "In the old workshop there were tools on every wall and dust on every shelf.",
    "The results of the first test were better than anyone had hoped.",
)


def neutral_batch(tokenizer: Any, bos: bool | None = None) -> PromptBatch | None:
    """The sentences that the tokenizer can spell, as a batch without answers; None where it can spell none of them."""
    try:
        return text_batch(spellable(tokenizer, SENTENCES), tokenizer, bos=bos, name="neutral text")
    except TaskError:
        return None


@torch.no_grad()
def mean_kl(
    model: PatchableModel,
    batch: PromptBatch,
    final: Float[Tensor, "batch pos d_model"],
    own: Float[Tensor, "batch pos d_model"],
) -> float:
    """The mean KL divergence, over tokens, of the model's own predictions from those of a changed run, in nats.

    Args:
        final, own: The last residual streams of the two runs on these texts.
    """
    total, n = 0.0, 0
    for i in range(batch.n):  # one text's logits at a time
        seen = batch.attention[i].to(final.device)
        logits, before = (model.unembed(each[i][seen]) for each in (final, own))
        none = torch.empty(len(before), 0, dtype=torch.long, device=before.device)  # no answers are compared
        total, n = total + float(kl(logits, none, none, before).sum()), n + len(before)
    return total / n
