"""Whether a model of the hub can be had at all, before the hub client's long retries."""

import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from acdc.errors import ModelError

__all__ = ["WELL_KNOWN", "check_reachable"]

WELL_KNOWN = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")  # of the hub, for those who spell them otherwise


def check_reachable(name: str, revision: str | None = None) -> None:
    """Fail at once where a hub model is not cached and there is no way to the hub; its client would try for minutes.

    Raises:
        ModelError: The hub can't be reached, and no copy of the model is here.
    """
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(name).expanduser().exists() or _resolves(urlsplit(constants.ENDPOINT).hostname or ""):
        return
    try:
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError as error:
        raise ModelError(f"{name!r} is no name of a model: {str(error).splitlines()[0]}") from None
    if not isinstance(cached, str):
        raise ModelError(
            f"model {name!r}: there is no such folder here, no downloaded copy, and no way to {constants.ENDPOINT}"
        )


def _resolves(host: str) -> bool:
    """Whether the host has an address; behind a proxy, only the proxy knows."""
    if getproxies():
        return True
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
