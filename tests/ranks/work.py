"""All that processes share, on a tiny problem; `python -m tests.ranks.work FOLDER` is one process of it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from acdc.discovery.acdc import acdc
from acdc.discovery.attribution.scorers import get_scorer
from acdc.discovery.hap import hap
from acdc.discovery.masks.edge_pruning import edge_pruning
from acdc.discovery.scored import Scored
from acdc.evaluation import certify, minimality, outcomes_of
from acdc.patching import prompt_blocks
from acdc.patching.problem import Problem
from acdc.ranks import Ranks, joined, leave
from acdc.runs.checkpoint import FileCheckpoint
from acdc.runs.mirror import mirrored
from tests.tiny import tiny_batch, tiny_model

SCORERS = (
    "eap",
    "eap-ig-inputs",
    "eap-ig-activations",
    "nap",
    "nap-ig",
    "hisp",
    "ifr",
    "atp-star",
    "exact",
    "ensemble",
)
Found = dict[str, Tensor | float]


def shared_work(ranks: Ranks) -> Found:
    """What every kind of shared work gives, by name."""
    problem = _problem(ranks)
    mask = torch.rand(problem.model.graph.edges_mask.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    mask = problem.prune(mask & problem.model.graph.edges_mask)
    found: Found = {name: get_scorer(name)(problem).scores for name in SCORERS}
    found |= {"logits": problem.logits(mask), "empty loss": problem.empty_loss}
    for name, search in _searches(problem):
        result = search()
        found |= {f"{name} mask": result.mask, f"{name} scores": result.scores}
    found |= {f"effect of {edge}": effect for edge, effect in certify(problem, mask, 0.1).effects.items()}
    found |= {f"need of {node}": need.largest for node, need in minimality(problem, mask, n_sets=1).nodes.items()}
    kept = outcomes_of(problem, mask).values["logit_diff"]
    return found | {who: torch.from_numpy(values) for who, values in kept.items()}


def resumed(ranks: Ranks, checkpoint: Path) -> Tensor:
    """Exact effects, going on from the first process's checkpoint."""
    own = FileCheckpoint(checkpoint, "run") if ranks.is_first else None
    return get_scorer("exact")(_problem(ranks), checkpoint=mirrored(ranks, own)).scores


def _problem(ranks: Ranks) -> Problem:
    return Problem.make(tiny_model("gpt2"), tiny_batch(n=7), metric="logit_diff", seed=5, ranks=ranks)


def _searches(problem: Problem) -> Iterator[tuple[str, Callable]]:
    yield "eap", lambda: Scored(get_scorer("eap"))(problem, select="faithfulness", faithfulness=0.8, resamples=5)
    yield "edge pruning", lambda: edge_pruning(problem, steps=6, batch_size=5, n_edges=30)
    yield "edge pruning in little memory", lambda: edge_pruning(problem, steps=2, n_edges=30, memory=1)
    yield "acdc", lambda: acdc(problem, tau="5%")
    yield "hap", lambda: hap(problem, tau="5%")


def smallest_blocks() -> None:
    """Blocks as small as can be: else a tiny problem is one."""
    prompt_blocks.LEAST_WORK, prompt_blocks.TOKENS = 1, {"masked": 1, "gradient": 1}


if __name__ == "__main__":
    smallest_blocks()
    folder = Path(sys.argv[1])
    with joined() as ranks:
        found = shared_work(ranks) | {"exact": resumed(ranks, folder / "checkpoint.jsonl")}
        torch.save(found, folder / f"{ranks.rank}.pt")
    leave()
