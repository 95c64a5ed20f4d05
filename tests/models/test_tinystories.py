"""A real, small Llama model, where a copy of it lies beside the repository."""

from pathlib import Path

import pytest
import torch

from acdc.models import PatchableModel
from acdc.patching.activations import run
from acdc.patching.masked import masked_logits
from acdc.prompts.batch import PromptBatch, PromptPair

FOLDER = Path(__file__).parents[3] / "shared" / "models" / "TinyStories-656K"
PAIRS = [
    ("Once upon a time there was a little girl", "Once upon a time there was a little boy"),
    ("Tom went to the park", "Tom went to the shop"),
]


@pytest.mark.skipif(not FOLDER.is_dir(), reason="no copy of TinyStories-656K beside the repository")
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-6), ("float32", 1e-4), ("bfloat16", 0.05)])
def test_a_trained_llama_model_has_hugging_face_s_logits(dtype: str, bound: float) -> None:
    model = PatchableModel.from_pretrained(FOLDER, dtype=dtype)
    encode = model.tokenizer.encode
    pairs = []
    for sides in PAIRS:
        clean, corrupt = (encode(side, add_special_tokens=False) for side in sides)
        width = min(len(clean), len(corrupt))
        pairs.append(PromptPair(clean[-width:], corrupt[-width:], [5], [6]))
    batch = PromptBatch.from_pairs(pairs, model.tokenizer)
    clean, theirs = run(model, batch, batch.clean), model.reference_logits(batch)
    scale = float(theirs.abs().max())
    assert float((clean.logits - theirs).abs().max()) < bound * scale
    corrupt = run(model, batch, batch.corrupt).outputs
    whole = masked_logits(model, batch, corrupt, model.graph.edges_mask)
    assert float((whole - clean.logits).abs().max()) < bound * scale
    assert torch.isfinite(whole).all()
