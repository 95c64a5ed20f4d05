"""Edge pruning from a cold start and from scores: known circuits recovered, and faithfulness at equal sizes.

    python benchmarks/learned_masks.py

Prints two Markdown tables: the area under the ROC curve and the precision of as many edges as are true, means over the
bundled models with known circuits; and of circuits of equal size in acdc-small the faithfulness on held-out prompts of
IOI, by the metric that they were trained on (1: as the model, more: it overshoots).
"""

import time

import torch

from acdc.benchmarking.known import known_circuits
from acdc.benchmarking.recovery import compare, strongest
from acdc.circuits.circuit import Circuit
from acdc.circuits.recovery import roc_auc
from acdc.discovery.masks.edge_pruning import edge_pruning
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.task import Task, load_task

SCORER = "eap-ig-inputs"
WAYS = {
    "cold, 400 steps": {"steps": 400},
    "cold, 100 steps": {"steps": 100},
    f"{SCORER}, 100 steps": {"steps": 100, "start": SCORER},
    f"{SCORER}, 50 steps": {"steps": 50, "start": SCORER},
}
MATCHED = {f"{name}, match": {**options, "match": True} for name, options in list(WAYS.items())[::2]}
SIZES = (25, 60)


def problem_of(model: PatchableModel, task: Task, metric: str, *, held_out: bool = False) -> Problem:
    return Problem.make(model, task.batch(model.tokenizer, 50, 0, held_out=held_out), metric=metric)


def recovery() -> None:
    """Known circuits: every way's ranking, in the task's metric."""
    found = {name: list[tuple[float, float, float]]() for name in WAYS}
    for known in known_circuits():
        model, task = PatchableModel.from_pretrained(known.model), load_task(known.task, **known.task_options)
        problem, truth = problem_of(model, task, task.metric), known.circuit(model.graph)
        for name, options in WAYS.items():
            start = time.process_time()
            result = edge_pruning(problem, **options)
            circuit = Circuit(model.graph, result.mask, result.scores)
            best = compare(model.graph, strongest(circuit, truth.n_edges, truth.mask), truth.mask)
            found[name].append((roc_auc(circuit, truth.mask), best.precision, time.process_time() - start))
    print("| start | AUC | top P | CPU seconds |\n|---|---|---|---|")
    for name, rows in found.items():
        auc, top, seconds = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        print(f"| {name} | {auc:.3f} | {top:.2f} | {seconds:.1f} |", flush=True)


def faithfulness() -> None:
    """acdc-small, IOI."""
    model, task = PatchableModel.from_pretrained("acdc-small"), load_task("ioi")
    print("\n| metric | start | " + " | ".join(f"{size} edges" for size in SIZES) + " |")
    print("|---|---|" + "---|" * len(SIZES))
    for metric in ("kl", "logit_diff"):
        problem, judge = (problem_of(model, task, metric, held_out=held_out) for held_out in (False, True))
        for name, options in (WAYS if metric == "kl" else WAYS | MATCHED).items():
            masks = [edge_pruning(problem, n_edges=size, **options).mask for size in SIZES]
            kept = [
                (judge.empty_loss - judge.loss(judge.logits(m))) / (judge.empty_loss - judge.model_loss) for m in masks
            ]
            print(f"| {metric} | {name} | " + " | ".join(f"{share:.2f}" for share in kept) + " |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    recovery()
    faithfulness()
