"""Whether a file's weights are those that a config asks for."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acdc.errors import ModelError

__all__ = ["check_fit", "check_types"]

logger = logging.getLogger(__name__)


def check_fit(place: str, hf: Any, info: Mapping[str, Any]) -> None:
    """Refuse weights that aren't the config's: transformers puts random numbers where some are missing.

    Raises:
        ModelError: A tensor is missing, of another shape, or of a layer that the config doesn't have.
    """
    own, problems = hf.state_dict(), []
    for name, found, wanted in sorted(info["mismatched_keys"], key=str):
        problems.append(f"{name!r} has the shape {list(found)} in the file, and the config asks for {list(wanted)}")
    for name in sorted(info["missing_keys"] - {key[0] for key in info["mismatched_keys"]}):
        shape = f" of shape {list(own[name].shape)}" if name in own else ""
        problems.append(f"{name!r}{shape} is missing from the file")
    unused = sorted(info["unexpected_keys"])
    n_layers = getattr(hf.config.get_text_config(), "num_hidden_layers", None)
    beyond = [name for name in unused if n_layers is not None and _layer_of(name) >= n_layers]
    problems += [f"{name!r} is in the file, and the config has only {n_layers} layers" for name in beyond]
    problems += [str(message).splitlines()[0] for message in info.get("error_msgs", ())]
    if problems:
        more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        raise ModelError(f"the weights of {place!r} don't fit its config: {problems[0]}{more}")
    if unused:
        logger.warning("%s: %d tensors of the file are used nowhere, like %r", place, len(unused), unused[0])


def check_types(folder: Path, hf: Any) -> None:
    """Refuse whole numbers in a folder's weights: they would be taken for the values of packed ones.

    Raises:
        ModelError: A parameter's tensor isn't of floating-point numbers.
    """
    from safetensors import safe_open

    own = {name for name, _ in hf.named_parameters()}
    own |= {name.partition(".")[2] for name in own}  # as files of the bare decoder name them
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as tensors:
            for name in own & set(tensors.keys()):
                if not (kind := tensors.get_slice(name).get_dtype()).startswith(("F", "BF")):
                    raise ModelError(
                        f"{name!r} in {path} holds whole numbers ({kind}), and weights are floating-point numbers; "
                        "give the model as it was before it was quantised"
                    )


def _layer_of(name: str) -> int:
    """The layer that a tensor belongs to; -1 if to none."""
    number = re.search(r"\.(\d+)\.", name)
    return -1 if number is None else int(number[1])
