"""How many steps between two inputs are enough, for `eap-ig-inputs` (edges) and `nap-ig` (nodes), by either rule.

    python benchmarks/steps.py                                   # acdc-small, IOI, 20 prompts
    python benchmarks/steps.py --model smollm2 --n 4 --steps 5,10,20

Scores are compared with the same rule's at the most steps: by the rank correlation of their sizes, over all edges and
over all nodes, and by how many of the ten strongest nodes (by either) have another sign. `worst cut` is how far the
scores across a cut are at worst from the effect that they should add up to, as a share of it.
"""

import argparse
import sys

import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from torch import Tensor

from acdc.discovery.attribution.eap_ig_inputs import cuts, eap_ig_inputs
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.task.loading import load_task

console = Console(width=None if sys.stdout.isatty() else 120)
RULES = (("local", "midpoint"), ("endpoint", "midpoint"), ("endpoint", "left"), ("endpoint", "right"))
STRONGEST = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="acdc-small")
    parser.add_argument("--task", default="ioi")
    parser.add_argument("--metric", default="logit_diff")
    parser.add_argument("--n", type=int, default=20, help="prompt pairs")
    parser.add_argument("--steps", default="5,10,20,40", help="numbers of steps, the last one the finest")
    given = parser.parse_args()
    steps = [int(word) for word in given.steps.split(",")]
    model = PatchableModel.from_pretrained(given.model)
    problem = Problem.make(model, load_task(given.task).batch(model.tokenizer, given.n, 0), metric=given.metric)
    table = Table("deltas", "quadrature", "steps", "worst cut", "edges' ranks", "nodes' ranks", "other signs")
    for deltas, quadrature in RULES:
        scores = {m: eap_ig_inputs(problem, deltas=deltas, quadrature=quadrature, steps=m).scores for m in steps}
        for m in steps:
            table.add_row(deltas, quadrature, str(m), *compared(problem, scores[m], scores[steps[-1]]))
    console.print(f"{given.task} on {given.model}, {given.metric}, {given.n} prompts")
    console.print(table)


def compared(problem: Problem, scores: Tensor, finest: Tensor) -> list[str]:
    """A row's numbers."""
    effect = float(finest[0].nansum())  # the edges out of the input: complete by every rule
    error = max(abs(float(scores[edges].nansum()) - effect) for _, edges in cuts(problem.model.graph)) / abs(effect)
    edges = problem.model.graph.edges_mask
    nodes, finest_nodes = scores.nansum(1), finest.nansum(1)
    top = torch.cat([each.abs().topk(STRONGEST).indices for each in (nodes, finest_nodes)]).unique()
    signs = int((nodes[top].sign() != finest_nodes[top].sign()).sum())
    ranks = [rank_correlation(scores[edges], finest[edges]), rank_correlation(nodes, finest_nodes)]
    return [f"{error:.1%}", *(f"{rank:.3f}" for rank in ranks), f"{signs} of {len(top)}"]


def rank_correlation(scores: Tensor, others: Tensor) -> float:
    return float(spearmanr(scores.abs().numpy(), others.abs().numpy())[0])


if __name__ == "__main__":
    main()
