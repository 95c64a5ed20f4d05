"""EAP's time and memory at GPT-2 small's full shape, with random weights, against two yardsticks.

    python benchmarks/attribution.py
    python benchmarks/attribution.py --repeats 5 --clock wall

`forward and backward` is one pass of the unmodified Hugging Face model as training does it: logits everywhere, a loss
on the last token's logits, gradients of all weights. `einsum` is EAP as it is usually written: every source's output
and every destination's gradient of the whole batch are kept, and one einsum multiplies them. `eap` is ours, the clean
and ablated runs included. All get the same 50 prompts of 16 tokens, and `eap` and `einsum` must give the same scores.

Times are medians of calls taken in turn. Memory is what a call adds to the process's at its peak. How both grow with
the model and the prompts: `benchmarks/growth.py`.
"""

import argparse

import torch
import transformers
from timing import CLOCKS, added_memory, beside

from acdc.circuits.graph import QKV
from acdc.discovery.attribution.eap import eap
from acdc.models import PatchableModel
from acdc.patching.attention import attend
from acdc.patching.layout import Layout
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

PROMPTS, TOKENS, VOCAB = 50, 16, 50257


def setting() -> tuple[PatchableModel, PromptBatch]:
    torch.manual_seed(0)
    model = PatchableModel(transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval(), None, name="random")
    ids = torch.randint(0, VOCAB, (2, PROMPTS, TOKENS))
    answers = torch.stack([torch.randperm(VOCAB)[:2] for _ in range(PROMPTS)])
    real = torch.ones(PROMPTS, TOKENS, dtype=torch.bool)
    return model, PromptBatch(ids[0], ids[1], real, answers[:, :1], answers[:, 1:])


def ours(model: PatchableModel, batch: PromptBatch) -> torch.Tensor:
    return eap(Problem.make(model, batch, metric="logit_diff")).scores


def floor(model: PatchableModel, batch: PromptBatch) -> None:
    logits = model.hf(input_ids=batch.clean, use_cache=False).logits[:, -1]
    (logits.gather(1, batch.wrong) - logits.gather(1, batch.correct)).mean().backward()
    model.hf.zero_grad(set_to_none=True)


def einsum(model: PatchableModel, batch: PromptBatch) -> torch.Tensor:
    """The plain way: all outputs `[src batch pos d]`, all gradients `[dst batch pos d]`, one einsum."""
    with torch.no_grad():
        ablated = torch.stack(plain_run(model, batch, batch.corrupt)[0])
    outputs, inputs, logits = plain_run(model, batch, batch.clean)
    loss = (logits.gather(1, batch.wrong) - logits.gather(1, batch.correct)).mean()
    gradients = torch.autograd.grad(loss, inputs)
    by_destination = torch.cat([g if g.ndim == 4 else g[None] for g in gradients])
    scores = torch.einsum("sbpd,tbpd->st", ablated - torch.stack(outputs).detach(), by_destination)
    return scores.double().masked_fill(~model.graph.edges_mask, torch.nan)


def plain_run(
    model: PatchableModel, batch: PromptBatch, ids: torch.Tensor
) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Every source's output, every destination's input (heads of a kind together), and the target logits."""
    layout, x = Layout(batch, model.dtype), model.embed(ids, batch.position_ids)
    outputs, inputs = [x], []
    for block in model.components.blocks:
        attention, projected = block.attention, []
        for kind in QKV:
            read = x.expand(model.graph.n_heads, *x.shape).clone()
            inputs.append(read)
            weight, bias = getattr(attention, f"W_{kind.upper()}"), getattr(attention, f"b_{kind.upper()}")
            projected.append(torch.einsum("hbpd,hde->hbpe", block.ln1(read), weight) + bias[:, None, None])
        q, k, v = (each[:, None] for each in projected)
        z = attend(q, k, v, layout.bias(None), attention.scale)[:, 0]
        heads = torch.einsum("hbpe,hed->hbpd", z, attention.W_O)
        outputs += heads.unbind(0)
        x = x + heads.sum(0) + attention.b_O
        inputs.append(read := x.clone())
        outputs.append(block.mlp(block.ln2(read)))
        x = x + outputs[-1]
    inputs.append(read := x.clone())
    return outputs, inputs, model.unembed(read[:, -1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=CLOCKS, default="cpu", help="[cpu: that of the process, all threads]")
    options = parser.parse_args()
    model, batch = setting()
    torch.testing.assert_close(ours(model, batch), einsum(model, batch), rtol=1e-2, atol=1e-6, equal_nan=True)
    calls = {"eap": ours, "einsum": einsum, "forward and backward": floor}
    print(f"GPT-2 small's shape, {PROMPTS} prompts of {TOKENS} tokens, {torch.get_num_threads()} threads\n")
    print(f"| | {options.clock} s | forward and backward, s | ratio | added GB |\n|---|---|---|---|---|")
    for name, call in calls.items():
        taken = beside(
            lambda call=call: call(model, batch),
            lambda: floor(model, batch),
            repeats=options.repeats,
            clock=CLOCKS[options.clock],
        )
        memory = added_memory(lambda call=call: call(model, batch))
        print(f"| {name} | {taken.own:.2f} | {taken.yardstick:.2f} | {taken.ratio:.2f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    main()
