"""With all edges kept, our logits are Hugging Face's, for every family."""

import pytest
import torch

from acdc.patching.activations import run
from tests.tiny import CONFIGS, tiny_batch, tiny_model


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("side", ["clean", "corrupt"])
def test_logits_equal_hugging_face_to_1e_10(family: str, side: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    ids = getattr(batch, side)
    theirs = model.hf(input_ids=ids, attention_mask=batch.attention.long(), position_ids=batch.position_ids).logits[
        :, -1
    ]
    torch.testing.assert_close(run(model, batch, ids).logits, theirs.detach(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_prompt_alone_has_the_logits_that_it_has_beside_others(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    together = run(model, batch, batch.clean).logits
    for i in range(batch.n):
        alone = batch.select([i])
        unpadded = model.hf(input_ids=alone.clean).logits[0, -1]
        assert alone.attention.all()
        torch.testing.assert_close(together[i], unpadded.detach(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_the_sources_sum_to_the_residual_stream(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    clean = run(model, batch, batch.clean)
    total = clean.outputs.input.clone()
    for layer, block in enumerate(model.parts.blocks):
        torch.testing.assert_close(clean.before_attention[layer], total)
        total = total + torch.einsum("hbpe,hed->bpd", clean.outputs.z[layer], block.attention.W_O)
        total = total + (0 if block.attention.b_O is None else block.attention.b_O) + clean.outputs.mlp[layer]
    torch.testing.assert_close(clean.final, total)
