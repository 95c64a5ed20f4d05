"""Finding and reading a model's files, with errors that say what to do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch

from acdc.errors import ModelError
from acdc.zoo import zoo_names, zoo_path

__all__ = ["check_device_map", "check_one_device", "load_config", "load_model", "load_tokenizer", "resolve"]

Loaded = TypeVar("Loaded")


def resolve(name_or_path: str) -> str:
    """Where to load a model from: a bundled model's folder, a local folder, or the name itself for the hub.

    Raises:
        ModelError: It is written like a path, and there is no such folder or it holds no model.
    """
    if name_or_path in zoo_names() and not Path(name_or_path, "config.json").is_file():
        return str(zoo_path(name_or_path))
    folder = Path(name_or_path).expanduser()
    if folder.is_file():
        raise ModelError(
            f"model {name_or_path!r} is a file; give the folder that holds config.json and model.safetensors"
        )
    if folder.is_dir():
        _check_folder(folder)
        return str(folder)
    if name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") > 1:
        raise ModelError(f"there is no model folder {name_or_path!r}")
    return name_or_path


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"model folder {str(folder)!r} has no config.json; is it a Hugging Face model folder?")
    if not any(folder.glob("*.safetensors")):
        pickled = [path.name for path in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth"))]
        hint = (
            f"; {pickled[0]} is a pickle, which is never loaded: save the model again as safetensors" if pickled else ""
        )
        raise ModelError(f"model folder {str(folder)!r} has no weights (*.safetensors){hint}")


def load_config(place: str, revision: str | None, trust_remote_code: bool) -> Any:
    """The model's config."""
    from transformers import AutoConfig

    return _load(
        place, lambda: AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=trust_remote_code)
    )


def load_tokenizer(place: str, revision: str | None, trust_remote_code: bool) -> Any:
    """The model's tokenizer."""
    from transformers import AutoTokenizer

    return _load(
        place, lambda: AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=trust_remote_code)
    )


def check_device_map(device_map: str | Mapping[str, Any] | None, device: str = "cpu") -> None:
    """Raise `ModelError` unless this device map can be used here: before the weights are loaded."""
    if device_map is None:
        return
    if device != "cpu":
        raise ModelError(f"give device ({device!r}) or device_map ({device_map!r}), not both")
    if find_spec("accelerate") is None:
        raise ModelError("device_map needs the package accelerate: pip install 'acdc-engine[large]', or give device")
    if isinstance(device_map, Mapping) and len(places := {str(place) for place in device_map.values()}) > 1:
        raise ModelError(_spread("device_map spreads the model", places))


def check_one_device(hf: Any, name: str) -> None:
    """Raise `ModelError` unless all weights are on one device and in its memory."""
    places = {str(parameter.device) for parameter in hf.parameters()}
    if len(places) > 1 or "meta" in places:
        raise ModelError(_spread(f"device_map spread {name!r}", places))


def _spread(what: str, places: Iterable[str]) -> str:
    named = " and ".join("the disk" if place in ("meta", "disk") else place for place in sorted(places))
    return (
        f"{what} over {named}, and the engines need it whole on one device: name one with enough memory, like "
        "device_map={'': 'cuda:0'}, or take dtype bfloat16 or a smaller model"
    )


def load_model(
    place: str,
    config: Any,
    revision: str | None,
    dtype: torch.dtype,
    trust_remote_code: bool,
    device_map: str | Mapping[str, Any] | None = None,
) -> Any:
    """The model with all its weights.

    Raises:
        ModelError: The weights can't be read, or some are missing (they would be random).
    """
    from transformers import AutoModelForCausalLM

    hf, info = _load(
        place,
        lambda: AutoModelForCausalLM.from_pretrained(
            place,
            config=config,
            revision=revision,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            **({} if device_map is None else {"device_map": device_map}),
            **_kernels(config, dtype),
            output_loading_info=True,
        ),
    )
    wrong = [*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])]
    if wrong:
        raise ModelError(
            f"the weights of {place!r} don't fit its config: {len(wrong)} are missing or of another shape, "
            f"first {sorted(wrong)[0]!r}"
        )
    return hf


def _kernels(config: Any, dtype: torch.dtype) -> dict[str, str]:
    """The default way to multiply with many experts' weights knows no float64."""
    experts = any(getattr(config, name, None) for name in ("num_experts", "num_local_experts"))
    return {"experts_implementation": "eager"} if experts and dtype == torch.float64 else {}


def _load(place: str, load: Callable[[], Loaded]) -> Loaded:
    """`load()` without transformers' own bars, with whatever goes wrong told as a `ModelError` of one or two lines."""
    try:
        with _without_bars():
            return load()
    except MemoryError:
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
