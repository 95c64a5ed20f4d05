"""What a cell of a patching map costs, in plain forward passes of the unmodified model: a Markdown table.

    python benchmarks/node_patching.py                    # SmolLM2-135M, one pair of prompts: a few minutes
    python benchmarks/node_patching.py --model acdc-small --task ioi --n 10

The usual way takes a forward pass a cell. Each row is measured between plain passes (CPU time, one thread, the clean
prompts), and `passes a cell` says what a cell takes here. `exact engine` is the same head's noising by the engine that
searches edges, which computes every destination's own input: that it is slower is why maps have a pass of their own.
"""

import argparse
import time
from functools import partial

import numpy as np
import torch
from timing import CLOCKS, beside, forward_call

from acdc import PatchableModel
from acdc.interpret.patching_maps import node_maps
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from acdc.progress import Progress
from acdc.task import OnePrompt, load_task

FACT = OnePrompt("The capital of Australia is", "The capital of France is", [" Canberra"], [" Sydney"])
GROUPS = {
    "resid_pre, resid_mid, attn_out, mlp_out": ("resid_pre", "resid_mid", "attn_out", "mlp_out"),
    "z, q, k, v, pattern": ("z", "q", "k", "v", "pattern"),
    "z_by_pos": ("z_by_pos",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--task", help="a task's name; the capital of Australia if not given")
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = PatchableModel.from_pretrained(options.model)
    task = FACT if options.task is None else load_task(options.task)
    batch = task.batch(model.tokenizer, options.n)
    problem = Problem.make(model, batch, metric="logit_diff")
    forward, clock = forward_call(problem), CLOCKS["cpu"]
    print(f"{model.name}, {batch.n} prompts of up to {batch.n_pos} tokens; torch {torch.__version__}, one thread\n")
    print("| map, denoising | cells | of them run | passes in all | passes a cell that is run | seconds |")
    print("|---|---|---|---|---|---|")
    for name, sites in GROUPS.items():
        told: list[Progress] = []
        sites = tuple(site for site in sites if site != "resid_mid" or not model.graph.parallel)
        aligned = "end" if int(batch.lengths.min()) < batch.n_pos else "each"
        settings = {"sites": sites, "directions": "denoising", "columns": aligned}
        patch = partial(node_maps, model, batch, **settings)
        maps = patch(progress=told.append)
        seconds = beside(patch, forward, repeats=options.repeats, clock=clock)
        cells = sum(each.values.size for each in maps)
        own = f"{seconds.ratio:.1f} | {seconds.ratio / told[-1].total:.3f} | {seconds.own:.2f}"
        print(f"| {name} | {cells:,} | {told[-1].total:,} | {own} |", flush=True)
    heads = min(4, model.graph.n_layers * model.graph.n_heads)
    seconds = beside(partial(by_exact_engine, problem, heads), forward, repeats=1, clock=clock)
    print(f"| z by the exact engine, {heads} heads | {heads} | {heads} | {seconds.ratio:.1f} | ", end="")
    print(f"{seconds.ratio / heads:.3f} | {seconds.own:.2f} |")


def by_exact_engine(problem: Problem, n_heads: int) -> None:
    """Heads spread over the layers, each without all its outgoing edges."""
    state, graph = CircuitState(problem), problem.model.graph
    for i in np.linspace(0, graph.n_layers * graph.n_heads - 1, n_heads).astype(int):
        src = graph.head_src(*divmod(int(i), graph.n_heads))
        edges = [(src, dst) for dst in graph.edges_mask[src].nonzero()[:, 0].tolist()]
        state.losses(edges, np.ones((1, len(edges)), bool))


if __name__ == "__main__":
    start = time.monotonic()
    main()
    print(f"\n{time.monotonic() - start:.0f} s in all")
