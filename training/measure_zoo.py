"""Measure how well each bundled model does each built-in task, and write `acdc/zoo/scores.json`.

python training/measure_zoo.py
"""

import argparse
import json
from pathlib import Path
from typing import Any

from torch import Tensor

from acdc import PatchableModel, PromptBatch, TaskError
from acdc.metrics import accuracy
from acdc.patching.activations import run
from acdc.task import load_task, registered_tasks
from acdc.zoo import zoo_names

N, SEED = 500, 0


def measure(model: PatchableModel, name: str, *, n: int = N, seed: int = SEED) -> dict[str, float] | None:
    """Shares of prompts that the model answers rightly, or None if it can't read them.

    Returns:
        `held_out`: of the held-out clean prompts, those whose right answers have more probability than the wrong ones.
        `discovery`: the same of discovery prompts. `top1`: held-out prompts after which a right answer is the most
        probable of all tokens. `corrupted`: `held_out`, of the corrupted prompts, which ask for another answer or none.
    """
    task = load_task(name)
    try:
        held_out, discovery = (task.batch(model.tokenizer, n, seed, held_out=side) for side in (True, False))
        model.check_batch(held_out)
        model.check_batch(discovery)
    except TaskError:
        return None
    clean = run(model, held_out, held_out.clean).logits
    rights = {
        "held_out": rightly(clean, held_out),
        "discovery": rightly(run(model, discovery, discovery.clean).logits, discovery),
        "top1": (clean.argmax(-1, keepdim=True) == held_out.correct).any(-1),
        "corrupted": rightly(run(model, held_out, held_out.corrupt).logits, held_out),
    }
    return {key: round(float(right.float().mean()), 4) for key, right in rights.items()}


def rightly(logits: Tensor, batch: PromptBatch) -> Tensor:
    """Whether each prompt's right answers have more probability than its wrong ones."""
    return accuracy(logits, batch.correct, batch.wrong)


def table(scores: dict[str, Any]) -> str:
    """The scores as they stand in `docs/tasks.md`."""
    rows = [
        f"| `{task}` | `{model}` | {found['top1']:.1%} | {found['held_out']:.1%} ({found['discovery']:.1%}) | "
        f"{found['corrupted']:.1%} |"
        for model, tasks in scores.items()
        for task, found in tasks.items()
    ]
    return "\n".join(
        ["| task | model | top-1 | right (discovery) | corrupted |", "|---|---|---|---|---|", *sorted(rows)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("acdc/zoo/scores.json"))
    options = parser.parse_args()
    scores: dict[str, Any] = {}
    for name in zoo_names():
        model = PatchableModel.from_pretrained(name)
        found = {task: measure(model, task) for task in registered_tasks()}
        scores[name] = {task: score for task, score in found.items() if score is not None}
    options.out.write_text(json.dumps({"n": N, "seed": SEED, "scores": scores}, indent=2) + "\n")
    print(table(scores))


if __name__ == "__main__":
    main()
