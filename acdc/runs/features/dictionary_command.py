"""The command that trains dictionaries as they were trained, for their cards."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acdc.features.sites import Site, sites_named
from acdc.features.training.place import Place
from acdc.features.training.recipe import Recipe
from acdc.models import PatchableModel
from acdc.options.defaults import DTYPE, SEED

__all__ = ["training_command"]

NAMES = {"part": "split", "dead_after": "dead-after"}  # options that the command line calls otherwise
OWN = ("dead_after", "tokens", "batch", "buffer", "length", "seed", "prompts", "part", "key")


def training_command(
    model: PatchableModel,
    places: Sequence[Place],
    recipes: Sequence[Recipe],
    asked: Mapping[str, Any],
    defaults: Mapping[str, Any],
    folder: Path,
) -> str:
    """What is typed for it.

    Args:
        asked: Sources, `dtype`, and options by their names in `train_dictionary`, those of the task too.
        defaults: What needn't be said, by the same names.
    """
    recipe, shown = recipes[0], dict(defaults) | {"seed": SEED}
    words = ["acdc", "train-dictionary", *asked["sources"], "--model", model.name]
    words += [word for name in _named(model, [place.reads for place in places]) for word in ("--site", name)]
    words += [word for name in _written(places) for word in ("--writes", name)]
    words += ["--variant", recipe.variant, "--width", str(recipe.width)]
    words += [word for each in recipes for word in ("--k", str(each.k))]
    words += ["--skip"] if recipe.skip else []
    words += [] if recipe.rate is None else ["--rate", f"{recipe.rate:g}"]
    for name in OWN:
        if name in asked and asked[name] != shown.get(name):
            words += [f"--{NAMES.get(name, name)}", str(asked[name])]
    if asked.get("bos") is not None:
        words.append("--bos" if asked["bos"] else "--no-bos")
    words += [] if asked["dtype"] == f"torch.{DTYPE}" else ["--dtype", str(asked["dtype"]).removeprefix("torch.")]
    known = {"sources", "dtype", "bos", "steps", *OWN}
    for name, value in asked.items():
        words += [] if name in known else ["--task-option", f"{name}={value}"]
    return shlex.join([*words, "--save", folder.name])


def _named(model: PatchableModel, sites: Sequence[Site]) -> list[str]:
    """The sites' names; one for those of all layers."""
    kind = sites[0].kind
    return [kind] if tuple(sites) == sites_named(model, kind) else [str(site) for site in sites]


def _written(places: Sequence[Place]) -> list[str]:
    """What transcoders write; one name where it is the same at each site's layer."""
    if places[0].is_sae:
        return []
    kinds = {place.writes.kind for place in places}
    own = all(place.reads.layer == place.writes.layer for place in places)
    return [*kinds] if len(kinds) == 1 and own and len(places) > 1 else [str(place.writes) for place in places]
