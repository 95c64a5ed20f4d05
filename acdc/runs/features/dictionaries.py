"""Dictionaries that a run uses, and what its record says of them."""

import os
from typing import Any

from acdc.features.dictionary import Dictionary
from acdc.features.formats import check_named, load
from acdc.models import PatchableModel
from acdc.runs.fingerprint import dictionary_hash
from acdc.runs.model_spec import ModelSpec
from acdc.version import __version__

__all__ = ["asked_of", "open_dictionary"]


def open_dictionary(
    dictionary: str | os.PathLike[str] | Dictionary, model: Any, *, site: str | None = None, **loading: Any
) -> tuple[PatchableModel, Dictionary]:
    """The model and the dictionary that are meant.

    Raises:
        ACDCError: One can't be loaded, or the dictionary is another model's.
    """
    if not isinstance(dictionary, Dictionary):
        check_named(dictionary)
    loaded = ModelSpec.of(model, **loading).load()
    found = dictionary if isinstance(dictionary, Dictionary) else load(dictionary, site=site, model=loaded)
    found.check_fits(loaded)
    return loaded, found


def asked_of(dictionary: Dictionary, model: ModelSpec) -> dict[str, Any]:
    """Which dictionary is used in which model, for the record of a run."""
    about = {"name": dictionary.name, "sha256": dictionary_hash(dictionary)}
    sites = {"reads": str(dictionary.reads), "writes": ", ".join(map(str, dictionary.writes))}
    return {"made_with": f"acdc {__version__}", "model": model.name, **model.to_json(), "dictionary": about | sites}
