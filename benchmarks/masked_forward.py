"""What a circuit's forward pass costs, in forward passes of the unmodified model.

    python benchmarks/masked_forward.py                          # the bundled acdc-small, 50 prompts
    python benchmarks/masked_forward.py --model FOLDER --n 20    # any model of `acdc discover`

`plain` is the unmodified Hugging Face model's forward pass on the clean prompts with logits at the last position;
`forward+backward` adds gradients of all weights. Masks keep random edges; `weighted` is a pass with random weights for
all edges and its backward pass, a step of a learned mask. What a problem's passes share is made before.

Calls are taken in turn in one process; the numbers are medians of the process's CPU time, which other work on the
machine disturbs less than the wall clock's, and of the latter.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.patching.weighted import weighted_logits
from acdc.task import load_task

console = Console(width=None if sys.stdout.isatty() else 100)


def calls(problem: Problem) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    graph, batch, hf = problem.model.graph, problem.batch, problem.model.hf
    inputs = {"input_ids": batch.clean, "attention_mask": batch.attention.long(), "use_cache": False}
    draw = torch.rand(graph.n_src, graph.n_dst, generator=torch.Generator().manual_seed(0))
    shares = {"all edges": 1.0, "half": 0.5, "10%": 0.1, "2%": 0.02, "500 edges": 500 / graph.n_edges}
    masks = {name: graph.edges_mask & (draw <= share) for name, share in shares.items()}

    def plain() -> None:
        with torch.no_grad():
            hf(**inputs, logits_to_keep=1)

    def backward() -> None:
        logits = hf(**inputs, logits_to_keep=1).logits[:, -1]
        logits.gather(1, batch.correct[:, :1]).mean().backward()
        hf.zero_grad(set_to_none=True)

    def weighted() -> None:
        weights = draw.clone().requires_grad_()
        weighted_logits(problem.masked, weights).gather(1, batch.correct[:, :1]).mean().backward()

    masked = {name: lambda mask=mask: problem.logits(mask) for name, mask in masks.items()}
    return {"plain": plain, "forward+backward": backward, **masked, "weighted, forward+backward": weighted}


def medians(timed: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of each call, taken in turn; the first of each isn't counted."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    for repeat in range(repeats + 1):
        for name, call in timed.items():
            cpu, wall = time.process_time(), time.perf_counter()
            call()
            if repeat:
                taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="acdc-small")
    parser.add_argument("--task", default="ioi")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    model = PatchableModel.from_pretrained(options.model)
    problem = Problem.make(model, load_task(options.task).batch(model.tokenizer, options.n, 0))
    found = medians(calls(problem), options.repeats)
    plain = found["plain"]
    table = Table("", "CPU s", "plain forwards", "by wall clock", title=f"{model.name}, {options.task}, n={options.n}")
    for name, (cpu, wall) in found.items():
        table.add_row(name, f"{cpu:.3f}", f"{cpu / plain[0]:.2f}", f"{wall / plain[1]:.2f}")
    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {model.graph.n_edges:,} edges")
    console.print(table)


if __name__ == "__main__":
    main()
