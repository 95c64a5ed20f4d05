"""Training dictionaries by what a user names."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acdc.errors import RunError
from acdc.features.fidelity import measure_fidelity
from acdc.features.formats import FORMATS
from acdc.features.sites import KINDS, Site, sites_named, width_of
from acdc.features.training.place import Place, places_of
from acdc.features.training.recipe import DEAD_AFTER, Recipe
from acdc.features.training.training import BATCH, BUFFER, fingerprint, train_dictionaries
from acdc.interpret.lenses.windows import window_length
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.options.ranges import Seed, checked
from acdc.progress.bars import Progressing, shown
from acdc.runs.features.dictionary_command import training_command
from acdc.runs.features.trained_dictionaries import TrainedDictionaries, TrainedDictionary, save_trained
from acdc.runs.folders import check_writable
from acdc.runs.state_file import StateFile, state_path
from acdc.runs.text_sources import texts_of

__all__ = ["TOKENS", "sites_asked", "train_dictionary", "written_asked"]

TOKENS, EXPANSION = 1_000_000, 8  # trained on; features for each dimension that is read
STATE = "training"
DEFAULTS = {"tokens": TOKENS, "batch": BATCH, "buffer": BUFFER}
FEWEST_DEATHS = 100  # times that a feature could have died, in a short training


def train_dictionary(
    model: PatchableModel,
    sources: str | Sequence[str],
    folder: str | os.PathLike[str],
    *,
    site: Site | str | Sequence[Site | str],
    writes: Site | str | Sequence[Site | str] | None = None,
    variant: str = "topk",
    width: int | None = None,
    k: int | Sequence[int] = 32,
    skip: bool = False,
    rate: float | None = None,
    dead_after: int | None = None,
    tokens: int = TOKENS,
    batch: int = BATCH,
    buffer: int = BUFFER,
    length: int | None = None,
    seed: int = SEED,
    progress: Progressing = None,
    **of_source: Any,
) -> TrainedDictionaries:
    """Train a dictionary, or at once one for each of several k, at each of several sites, and save them; a stopped
    training goes on when it is asked for again.

    Args:
        sources: What is read, one or several: see `texts_of`, which `of_source` goes to too.
        folder: Where the dictionary is saved; of several k each in a folder `k8`, `k16`... of it, of several sites each
            in a folder like `mlp_in.0` of that, which `load_set` reads.
        site: What is read, like `resid_post.5`; several; or `resid_post`, at all layers.
        writes: What a transcoder writes, as many; `mlp_out` is that of each site's layer. None of an SAE.
        width: Number of features; 8 for each dimension that is read if None.
        dead_after: Tokens on which a feature must be on nowhere to be dead, and revived; a hundredth of all if None,
            and 10 million at most.
        tokens: Trained on, repeats included.
        batch, buffer: Tokens of a step, and tokens that are shuffled together.

    Raises:
        RunError: An option is out of bounds; or the folder holds a dictionary, or another training's state.
        ModelError: The model has no such site.
        FileError, TaskError, UnknownNameError: The text can't be had, or is too short.
    """
    folder, sources = Path(folder).expanduser(), [sources] if isinstance(sources, str) else list(sources)
    reads = sites_asked(model, site)
    places = places_of(model, reads, written_asked(model, reads, writes))
    seed = checked("seed", Seed, seed)
    if batch < 1 or buffer < 1:
        raise RunError(f"batch and buffer must be at least 1 token, not {batch:,} and {buffer:,}")
    if tokens < batch:
        raise RunError(f"tokens, {tokens:,}, must be at least those of a batch, {batch:,}")
    n = EXPANSION * max(width_of(model, place.reads) for place in places) if width is None else width
    many = [k] if isinstance(k, int) else sorted(set(k))
    dead = max(batch, min(DEAD_AFTER, tokens // FEWEST_DEATHS)) if dead_after is None else dead_after
    recipe = Recipe(variant, n, many[0], skip, rate, dead)
    recipes = [replace(recipe, k=each) for each in many]
    folders = _folders(folder, places, many)
    if not state_path(folder / STATE).exists():  # else it was stopped while they were saved
        _check_folders(folders)
    length = window_length(model, length)
    texts, held_out = texts_of(model, sources, tokens=tokens, length=length, seed=seed, **of_source)
    options: dict[str, Any] = {"steps": tokens // batch, "batch": batch, "buffer": buffer, "seed": seed}
    state = StateFile(folder / STATE, fingerprint(model, texts, recipes, places, *options.values()))
    if state.is_anothers():
        raise RunError(f"{state.path} is of another training: ask for the same one, or give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    options |= {"reads": [place.reads for place in places], "writes": [place.writes for place in places]}
    with shown(progress) as tell:
        trained = train_dictionaries(model, texts, recipes, keep=state, progress=tell, **options)
        measured = measure_fidelity(model, [each.dictionary for each in trained], held_out, progress=tell)
    asked = {"sources": sources, "length": length, "tokens": tokens, "dtype": str(model.dtype)} | of_source
    asked |= {name: options[name] for name in ("steps", "batch", "buffer", "seed")}
    asked |= {} if dead_after is None else {"dead_after": dead_after}
    usual = DEFAULTS | {"length": window_length(model, None)}
    asked["command"] = training_command(model, places, recipes, asked, usual, folder)
    found = TrainedDictionaries(tuple(map(TrainedDictionary, folders, trained, measured)))
    save_trained(found, folder, asked, model)
    state.path.unlink(missing_ok=True)
    return found


def sites_asked(model: PatchableModel, asked: Site | str | Sequence[Site | str]) -> tuple[Site, ...]:
    """The sites that are meant, in their order."""
    many = [asked] if isinstance(asked, Site | str) else asked
    return tuple(site for each in many for site in ((each,) if isinstance(each, Site) else sites_named(model, each)))


def written_asked(
    model: PatchableModel, reads: Sequence[Site], writes: Site | str | Sequence[Site | str] | None
) -> tuple[Site, ...] | None:
    """Where each of the dictionaries writes; None of SAEs."""
    if writes is None:
        return None
    kind = writes if isinstance(writes, Site | str) else writes[0] if len(writes) == 1 else ""
    return tuple(Site(site.layer, kind) for site in reads) if kind in KINDS else sites_asked(model, writes)


def _folders(folder: Path, places: Sequence[Place], ks: Sequence[int]) -> tuple[Path, ...]:
    """A folder for each dictionary, in the order in which they are trained."""
    return tuple(
        folder / (f"k{k}" if len(ks) > 1 else "") / (str(place.reads) if len(places) > 1 else "")
        for place in places
        for k in ks
    )


def _check_folders(folders: Sequence[Path]) -> None:
    for folder in folders:
        check_writable(folder)
        if any(form.recognises(folder) for form in FORMATS.values()):
            raise RunError(f"{folder} holds a dictionary already; give another folder")
