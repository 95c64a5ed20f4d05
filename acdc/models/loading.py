"""Reading a model's files by transformers, with errors that say what to do."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from acdc.errors import ACDCError, ModelError
from acdc.models.config_file import check_config, check_config_file, check_heads, has_experts
from acdc.models.weights import check_fit, check_types
from acdc.zoo import zoo_names

__all__ = ["Origin", "load_config", "load_model", "load_tokenizer", "loaded"]

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Origin:
    """What transformers is asked for.

    Attributes:
        place: A folder, or a name on the hub.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Whether code that comes with the model may run.
    """

    place: str
    revision: str | None = None
    trust_remote_code: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What every `from_pretrained` of transformers takes."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}


def load_config(origin: Origin) -> Any:
    """The model's config, its sizes checked before anything is built from them.

    Raises:
        ModelError: It can't be read, or a field can't be used.
    """
    from transformers import AutoConfig, PretrainedConfig

    place = origin.place
    if Path(place).is_dir():
        check_config_file(Path(place))
    else:
        check_config(loaded(place, lambda: PretrainedConfig.get_config_dict(place, revision=origin.revision)[0]), place)
    config = loaded(place, lambda: AutoConfig.from_pretrained(place, **origin.options))
    check_heads(config.get_text_config(), place)
    return config


def load_tokenizer(origin: Origin) -> Any:
    """The model's tokenizer."""
    from transformers import AutoTokenizer

    return loaded(origin.place, lambda: AutoTokenizer.from_pretrained(origin.place, **origin.options))


def load_model(
    origin: Origin,
    config: Any,
    dtype: torch.dtype,
    device: torch.device,
    device_map: str | Mapping[str, Any] | None = None,
) -> Any:
    """The model with all its weights, in evaluation mode.

    Raises:
        ModelError: The weights can't be read, or some are missing (they would be random).
    """
    from transformers import AutoModelForCausalLM

    hf, info = loaded(
        origin.place,
        lambda: AutoModelForCausalLM.from_pretrained(
            origin.place,
            config=config,
            dtype=dtype,
            **origin.options,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # told below, with both shapes
            **({} if device_map is None else {"device_map": device_map, "offload_folder": scratch_folder()}),
            **_kernels(config, dtype),
            output_loading_info=True,
        ),
    )
    check_fit(origin.place, hf, info)
    check_types(Path(origin.place), hf)
    return hf.eval() if device_map is not None else hf.eval().to(device)


def scratch_folder() -> str:
    """A folder till the program ends, for weights that are kept on the disk and aren't there as they are needed."""
    folder = tempfile.mkdtemp(prefix="acdc-offload-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _kernels(config: Any, dtype: torch.dtype) -> dict[str, str]:
    """The default way to multiply with many experts' weights knows no float64."""
    return {"experts_implementation": "eager"} if has_experts(config) and dtype == torch.float64 else {}


def loaded(place: str, load: Callable[[], Loaded]) -> Loaded:
    """`load()` without transformers' own bars, with whatever goes wrong told as a `ModelError` of one or two lines."""
    try:
        with _without_bars():
            return load()
    except (MemoryError, ACDCError):
        raise
    except Exception as error:  # transformers, huggingface_hub and safetensors raise many kinds
        raise ModelError(f"model {place!r} can't be loaded: {_reason(place, error)}") from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """Within it, transformers draws no bars: they would stand in the middle of ours."""
    from transformers.utils import logging as theirs

    were_shown = theirs.is_progress_bar_enabled()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        if were_shown:
            theirs.enable_progress_bar()


def _reason(place: str, error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "trust_remote_code" in str(error):
        return "it comes with its own code, which runs only with trust_remote_code (--trust-remote-code)"
    if type(error).__name__ == "SafetensorError":
        return f"its weights file is damaged or cut off ({text}); download it again"
    if not Path(place).exists():
        near = f"bundled models are {', '.join(zoo_names())}"
        return f"it is no local folder, and the hub did not give it ({text}); {near}"
    return text
