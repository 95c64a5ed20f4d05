"""Make the bundled dictionaries of the bundled models.

    python training/train_dictionaries.py --out acdc/zoo/dictionaries

Each is an SAE, or a set of transcoders of all layers, on its model's own tasks. One that is there already isn't made
again. The same is done by the command that stands in each one's card.
"""

import argparse
from pathlib import Path
from typing import Any

from acdc import PatchableModel
from acdc.runs.features.training import train_dictionary

SETTINGS: dict[str, Any] = {"width": 512, "batch": 512, "rate": 0.002}
TEXTS: dict[str, tuple[list[str], dict[str, Any]]] = {  # tasks by the model, and how much is read of them
    "acdc-small": (["ioi", "greater-than", "induction", "agreement"], {"tokens": 200_000, "dead_after": 20_000}),
    "acdc-tasks": (
        ["docstring", "gendered-pronoun", "capitals", "agreement", "arithmetic"],
        {"tokens": 100_000, "prompts": 300, "dead_after": 10_000},
    ),
}
KINDS: dict[str, dict[str, Any]] = {
    "resid_post.1": {"site": "resid_post.1", "k": 8},
    "transcoders": {"site": "mlp_in", "writes": "mlp_out", "k": 16},
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    for model, (tasks, size) in TEXTS.items():
        for name, kind in KINDS.items():
            if (folder := out / f"{model}.{name}").exists():
                continue
            loaded = PatchableModel.from_pretrained(model)
            found = train_dictionary(loaded, tasks, folder, progress=True, **SETTINGS, **size, **kind)
            print(found.frame().to_string(index=False))
