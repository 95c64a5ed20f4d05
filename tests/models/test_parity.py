"""With all edges kept, our logits are Hugging Face's, for every family.

The bounds in lower precision are set from what was measured over all of these models, relative to the largest logit:
at most 2e-6 in float32 and 0.025 in bfloat16, where Hugging Face's own logits are up to 0.12 from float64's.
"""

import pytest
import torch
from torch import Tensor

from acdc.models import PatchableModel
from acdc.patching.activations import run
from acdc.patching.attention import attn_out, constant
from acdc.prompts.batch import PromptBatch
from tests.configs import CONFIGS, EXPERT_FAMILIES, ONE_EACH
from tests.tiny import KeepDouble, tiny_batch, tiny_model

IN_FLOAT32 = ("cohere", "cohere-norms", "cohere2", "llama4", "dots1")
BOUNDS = {torch.float32: 1e-5, torch.bfloat16: 0.05}


@torch.no_grad()
def hugging_face(model: PatchableModel, batch: PromptBatch, ids: Tensor) -> Tensor:
    """Target logits of the padded batch."""
    mask, positions = batch.attention.long(), batch.position_ids
    return model.hf(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -1]


@pytest.mark.parametrize("family", CONFIGS)
def test_logits_equal_hugging_face_to_1e_10(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    with KeepDouble():
        for ids in (batch.clean, batch.corrupt):
            theirs = hugging_face(model, batch, ids)
            torch.testing.assert_close(run(model, batch, ids).logits, theirs, atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_unmodified_float64_models_differ_by_their_own_rounding_alone(family: str) -> None:
    """Some go down to float32 in a softmax, a rotation, a router, or in a norm that acts on a sum of heads."""
    model, batch = tiny_model(family), tiny_batch()
    ours, theirs = run(model, batch, batch.clean).logits, model.reference_logits(batch)
    rounded = model.hf.config._attn_implementation == "eager" or model.components.blocks[0].attention.post_norm_eps
    bound = 5e-6 if family in IN_FLOAT32 else 2e-6 if rounded else 1e-10
    torch.testing.assert_close(ours, theirs, atol=bound, rtol=0)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("family", ONE_EACH)
def test_logits_are_near_hugging_face_in_the_same_lower_precision(family: str, dtype: torch.dtype) -> None:
    model, batch = tiny_model(family, dtype=dtype), tiny_batch()
    ours, theirs = run(model, batch, batch.clean).logits, hugging_face(model, batch, batch.clean)
    assert ours.dtype == dtype
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < BOUNDS[dtype]


@pytest.mark.parametrize("family", CONFIGS)
def test_a_prompt_alone_has_the_logits_that_it_has_beside_others(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    with KeepDouble():
        together = run(model, batch, batch.clean).logits
        for i in range(batch.n):
            alone = batch.select([i])
            assert alone.attention.all()
            unpadded = model.hf(input_ids=alone.clean).logits[0, -1]
            torch.testing.assert_close(together[i], unpadded.detach(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_the_sources_sum_to_the_residual_stream(family: str) -> None:
    """That of the model itself, where it shows it."""
    model, batch = tiny_model(family), tiny_batch()
    with KeepDouble(), torch.no_grad():
        clean = run(model, batch, batch.clean)
        mask, positions = batch.attention.long(), batch.position_ids
        stream = model.hf(
            input_ids=batch.clean, attention_mask=mask, position_ids=positions, output_hidden_states=True
        ).hidden_states
    total = clean.outputs.input
    for layer, block in enumerate(model.components.blocks):
        torch.testing.assert_close(clean.resid_pre[layer], total)
        torch.testing.assert_close(total[batch.attention], stream[layer][batch.attention])
        total = total + attn_out(block.attention, clean.outputs.z[layer]) + clean.outputs.mlp[layer]
        total = total if block.attention.b_O is None else total + constant(block.attention)
    torch.testing.assert_close(clean.final, total)


@pytest.mark.parametrize("family", EXPERT_FAMILIES)
def test_experts_serve_each_token_alone(family: str) -> None:
    """However tokens are packed: as a batch, as rows, stacked as copies."""
    model = tiny_model(family)
    x = torch.randn(3, 5, model.graph.d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with KeepDouble(), torch.no_grad():
        for block in model.components.blocks:
            together = block.mlp(x)
            for packed in (x.flatten(0, 1), x[None], x.flip(0), x[:, :1]):
                back = {2: lambda y: y.view(x.shape), 4: lambda y: y[0]}.get(packed.ndim, lambda y: y)
                out = back(block.mlp(packed))
                expected = together.flip(0) if packed.shape == x.shape and packed.ndim == 3 else together
                expected = expected if out.shape == x.shape else together[:, :1]
                torch.testing.assert_close(out, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_weights_are_views_of_the_model_s_own(family: str) -> None:
    """But for Falcon's queries with several key heads, which no view reaches."""
    model = tiny_model(family)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.hf.parameters()}
    attention = model.components.blocks[0].attention
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        viewed = getattr(attention, name).untyped_storage().data_ptr() in own
        assert viewed or (name == "W_Q" and family in ("falcon-gqa", "falcon-one-norm"))
