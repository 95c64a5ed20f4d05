"""Names of models, as the tools call them that train dictionaries."""

import re

__all__ = ["is_same_model"]

ALIASES = {"gpt2small": "gpt2", "gemmav3": "gemma3", "gemmav2": "gemma2"}  # how a name begins: as the hub calls it


def is_same_model(told: str, given: str) -> bool:
    """Whether two names may mean the same model: all but the owner, case and punctuation is compared.

    >>> is_same_model("gpt2-small", "openai-community/gpt2"), is_same_model("pythia-70m", "pythia-70m-deduped")
    (True, False)
    """
    return _bare(told) == _bare(given)


def _bare(name: str) -> str:
    bare = re.sub(r"[^a-z0-9]", "", name.rstrip("/").rpartition("/")[2].lower())
    return next((meant + bare[len(start) :] for start, meant in ALIASES.items() if bare.startswith(start)), bare)
