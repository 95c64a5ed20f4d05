"""What becomes of repeated tokens when a head may not read one place: a test of roles that are a place to look at.

The head's weight on the place is set to 0 and its other weights stay, so exactly what it read there is taken away. On
random tokens that come twice a model that does induction predicts the second half; how much less probable that half
becomes is what was read there for it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.interpret.attention_pass import LayerAttention, Visit, attention_pass
from acdc.interpret.evidence.drawn import Drawn
from acdc.interpret.head_names import place_of
from acdc.metrics.answers import wide
from acdc.models import PatchableModel

__all__ = ["repeated_log_probability", "unread"]


def unread(model: PatchableModel, head: str, rows: range, back: int) -> Visit:
    """What keeps a head from reading, at these positions, the one `back` before."""
    layer, h = place_of(model, head)

    def visit(here: LayerAttention) -> Tensor | None:
        if here.layer != layer:
            return None
        queries = [i for i in rows if i >= back]
        pattern = here.pattern.clone()
        pattern[h][:, queries, [i - back for i in queries]] = 0
        return here.z(pattern)

    return visit


@torch.no_grad()
def repeated_log_probability(
    model: PatchableModel, drawn: Drawn, visit: Visit = lambda here: None
) -> Float[Tensor, " batch"]:
    """Mean log-probability, in nats, of the tokens of the second half, each after what stands before it."""
    final = attention_pass(model, drawn.batch, drawn.batch.clean, visit)
    follows = drawn.batch.clean[:, [i + 1 for i in drawn.repeated]]
    found = []
    for x, tokens in zip(final[:, drawn.repeated], follows, strict=True):  # one sequence's logits at a time
        found.append(wide(model.unembed(x)).log_softmax(-1).gather(1, tokens[:, None]).mean())
    return torch.stack(found).double().cpu()
