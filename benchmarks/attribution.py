"""EAP's time and memory, against two yardsticks, on models of GPT-2's architecture with random weights.

    python benchmarks/attribution.py                    # GPT-2 small's shape, then growing shapes
    python benchmarks/attribution.py --only gpt2        # GPT-2 small's shape alone
    python benchmarks/attribution.py --repeats 5

`floor` is one forward and one backward pass of the unmodified Hugging Face model as training does it: logits
everywhere, a loss on the last token's logits, gradients of all weights. `einsum` is EAP as it is usually written:
every source's output and every destination's gradient of the whole batch are kept, and one einsum multiplies them.
`eap` is ours, the clean and ablated runs included. All get the same prompts; `eap` and `einsum` must give the same
scores.

Times are medians of calls taken in turn in one process (wall clock, and the process's CPU time, which other work on the
machine disturbs less). Peak memory is that of a process of its own for each, less what the loaded model takes.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import transformers
from rich.console import Console
from rich.table import Table

from acdc.circuits.graph import QKV
from acdc.discovery.attribution.eap import eap
from acdc.models import PatchableModel
from acdc.patching.attention import attend
from acdc.patching.layout import Layout
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

console = Console(width=None if sys.stdout.isatty() else 120)
WAYS = ("eap", "einsum", "floor")


class Shape(NamedTuple):
    """A model and a batch."""

    layers: int = 4
    heads: int = 4
    width: int = 256
    prompts: int = 50
    tokens: int = 16
    vocab: int = 1000


GPT2 = Shape(12, 12, 768, 50, 16, 50257)
GROWING = {
    "layers": [Shape(layers=n) for n in (2, 4, 8, 16)],
    "heads": [Shape(heads=n) for n in (2, 4, 8, 16)],
    "width": [Shape(width=n) for n in (128, 256, 512)],
    "prompts": [Shape(prompts=n) for n in (25, 50, 100, 200)],
}


def setting(shape: Shape) -> tuple[PatchableModel, PromptBatch]:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=shape.layers,
        n_head=shape.heads,
        n_embd=shape.width,
        vocab_size=shape.vocab,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = PatchableModel(transformers.GPT2LMHeadModel(config).eval(), None, name="random")
    ids = torch.randint(0, shape.vocab, (2, shape.prompts, shape.tokens))
    answers = torch.stack([torch.randperm(shape.vocab)[:2] for _ in range(shape.prompts)])
    real = torch.ones(shape.prompts, shape.tokens, dtype=torch.bool)
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


CALLS: dict[str, Callable[[PatchableModel, PromptBatch], torch.Tensor | None]] = {
    "eap": ours,
    "einsum": einsum,
    "floor": floor,
}


def resident(field: str) -> float:
    """This process's memory in GB: `VmRSS` now, `VmHWM` at its peak (Linux). `ru_maxrss` would count the parent's."""
    with open("/proc/self/status") as status:
        return next(float(line.split()[1]) for line in status if line.startswith(field)) / 1e6


def alone(way: str, shape: Shape) -> None:
    """Print what one call adds to the memory of this process at its peak."""
    model, batch = setting(shape)
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the peak counts from now on
    before, start = resident("VmRSS"), time.process_time()
    CALLS[way](model, batch)
    print(json.dumps([resident("VmHWM") - before, time.process_time() - start]))


def memory(way: str, shape: Shape) -> float:
    """`alone` in a process of its own, in GB."""
    command = [sys.executable, __file__, "--alone", way, "--shape", json.dumps(shape)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0])


def times(shape: Shape, repeats: int) -> dict[str, tuple[float, float]]:
    """Median wall and CPU seconds of each way, the calls taken in turn; the scores are compared."""
    model, batch = setting(shape)
    torch.testing.assert_close(ours(model, batch), einsum(model, batch), rtol=1e-2, atol=1e-6, equal_nan=True)
    floor(model, batch)
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            wall, cpu = time.perf_counter(), time.process_time()
            CALLS[way](model, batch)
            taken[way].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        way: (statistics.median(w for w, _ in each), statistics.median(c for _, c in each))
        for way, each in taken.items()
    }


def table(title: str, shapes: list[Shape], repeats: int) -> None:
    columns = ("shape", "eap s", "einsum s", "floor s", "eap/floor", "by CPU time", "eap GB", "einsum GB", "eap/einsum")
    out = Table(*columns, title=title)
    for shape in shapes:
        found, used = times(shape, repeats), {way: memory(way, shape) for way in ("eap", "einsum")}
        (wall, cpu), (floor_wall, floor_cpu) = found["eap"], found["floor"]
        out.add_row(
            "x".join(map(str, shape)),
            *(f"{found[way][0]:.2f}" for way in WAYS),
            f"{wall / floor_wall:.2f}",
            f"{cpu / floor_cpu:.2f}",
            *(f"{used[way]:.2f}" for way in ("eap", "einsum")),
            f"{used['eap'] / used['einsum']:.2f}",
        )
    console.print(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("gpt2", *GROWING))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--alone", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(options.alone, Shape(*options.shape))
        return
    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {' x '.join(Shape._fields)}")
    if options.only in (None, "gpt2"):
        table("GPT-2 small's shape", [GPT2], options.repeats)
    for name, shapes in GROWING.items():
        if options.only in (None, name):
            table(f"growing {name}", shapes, options.repeats)


if __name__ == "__main__":
    main()
