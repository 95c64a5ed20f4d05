"""Whether the Hugging Face hub can be asked for a model at all, before its client's long retries."""

from acdc.errors import ModelError

__all__ = ["WELL_KNOWN", "check_reachable"]

WELL_KNOWN = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")  # of the hub, for those who spell them otherwise
SECONDS = 10


def check_reachable(name: str, revision: str | None = None) -> None:
    """Fail at once where a model was never downloaded and the hub doesn't answer; loading would try for minutes.

    Raises:
        ModelError: It can't be a name on the hub, or no copy is here and there is no way to the hub.
    """
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
            return
        HfApi().model_info(name, revision=revision, timeout=SECONDS)
    except HFValidationError as error:
        raise ModelError(f"{name!r} is no name of a model: {str(error).splitlines()[0]}") from None
    except HfHubHTTPError:
        return  # the hub answers: what it has against the name is told when the model is loaded
    except Exception as error:  # no address, no connection, no answer in time
        why = "HF_HUB_OFFLINE is set" if isinstance(error, OfflineModeIsEnabled) else str(error).splitlines()[0]
        raise ModelError(
            f"model {name!r}: there is no such folder here, no downloaded copy, and no way to {constants.ENDPOINT} "
            f"({why})"
        ) from None
