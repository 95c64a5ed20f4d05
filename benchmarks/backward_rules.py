"""What backward rules cost, and what circuits their scores give, beside plain EAP.

    python benchmarks/backward_rules.py                                 # SmolLM2-135M, IOI, 20 prompts
    python benchmarks/backward_rules.py --model acdc-small --exact      # the bundled model, beside exact effects

`CPU` is the process's CPU time in units of plain EAP's, the median of calls taken in turn. `shared` counts the edges
that are among the strongest by plain EAP too. `kept` is the share of the metric that a circuit of the strongest edges
keeps (1: the model, 0: every edge removed), ranked by size and by sign, on the prompts and on held-out ones.
`correlation` is Pearson's with the exact effect of each edge.
"""

import argparse
import statistics
import sys
import time

import torch
from rich.console import Console
from rich.table import Table

from acdc.discovery import EdgeScores, get_scorer
from acdc.discovery.selection.select import select
from acdc.models import PatchableModel
from acdc.patching.gradient.rules import RULES
from acdc.patching.problem import Problem
from acdc.task import load_task

console = Console(width=None if sys.stdout.isatty() else 100)
METRIC = "logit_diff"


def timed(problem: Problem, repeats: int) -> tuple[dict[str | None, EdgeScores], dict[str | None, float]]:
    """The scores by each set of rules (None: derivatives), and the CPU seconds that they took."""
    eap, scores, taken = get_scorer("eap"), {}, {name: [] for name in (None, *RULES)}
    for repeat in range(repeats + 1):
        for name in taken:
            start = time.process_time()
            scores[name] = eap(problem, rules=name)
            if repeat:
                taken[name].append(time.process_time() - start)
    return scores, {name: statistics.median(each) for name, each in taken.items()}


def kept(problem: Problem, mask: torch.Tensor) -> float:
    """The share of the metric that a circuit keeps."""
    loss = problem.loss(problem.logits(mask))
    return (problem.empty_loss - loss) / (problem.empty_loss - problem.model_loss)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--task", default="ioi")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--n-edges", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--exact", action="store_true", help="measure each edge's own effect: hours in a large model")
    options = parser.parse_args()
    model, task = PatchableModel.from_pretrained(options.model), load_task(options.task)
    problem, other = (
        Problem.make(model, task.batch(model.tokenizer, options.n, 0, held_out=held_out), metric=METRIC)
        for held_out in (False, True)
    )
    scores, seconds = timed(problem, options.repeats)
    edges, size = model.graph.edges_mask, min(options.n_edges, model.graph.n_edges)
    strongest = {name: set(found.scores[edges].abs().topk(size).indices.tolist()) for name, found in scores.items()}
    truth = get_scorer("exact")(problem).scores[edges] if options.exact else None
    title = (
        f"{model.name}, {options.task}, n={options.n}, {METRIC}, circuits of {size:,} of {model.graph.n_edges:,} edges"
    )
    columns = ("rules", "CPU", "shared", "kept", "held out", "kept, signed", "held out")
    table = Table(*columns, *(["correlation"] if options.exact else []), title=title)
    for name, found in scores.items():
        masks = [select(problem, found, select="top-n", n_edges=size, signed=signed).mask for signed in (False, True)]
        cells = [f"{kept(where, mask):.2f}" for mask in masks for where in (problem, other)]
        if truth is not None:
            cells.append(f"{float(torch.corrcoef(torch.stack([found.scores[edges], truth]))[0, 1]):.3f}")
        ratio, shared = seconds[name] / seconds[None], len(strongest[name] & strongest[None])
        table.add_row(str(name).lower(), f"{ratio:.2f}", f"{shared:,}", *cells)
    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; plain: {seconds[None]:.2f} s of CPU")
    console.print(table)


if __name__ == "__main__":
    main()
