"""Make the bundled dictionaries of the bundled models.

    python training/train_dictionaries.py --out acdc/zoo/dictionaries

Each is an SAE on its model's own tasks. One that is there already isn't made again.
"""

import argparse
from pathlib import Path
from typing import Any

from acdc import PatchableModel
from acdc.runs.dictionary_training import train_dictionary

SETTINGS: dict[str, Any] = {"width": 512, "k": 8, "batch": 512, "rate": 0.002}
SIZES = {
    "acdc-small.resid_post.1": {"tokens": 200_000},
    "acdc-tasks.resid_post.1": {"tokens": 100_000, "prompts": 300},  # of each task
}
DICTIONARIES = {
    "acdc-small.resid_post.1": ["ioi", "greater-than", "induction", "agreement"],
    "acdc-tasks.resid_post.1": ["docstring", "gendered-pronoun", "capitals", "agreement", "arithmetic"],
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    for name, tasks in DICTIONARIES.items():
        if (out / name).exists():
            continue
        model, _, site = name.partition(".")
        loaded = PatchableModel.from_pretrained(model)
        found = train_dictionary(loaded, tasks, out / name, site=site, progress=True, **SETTINGS, **SIZES[name])
        print(found.frame().to_string(index=False))
