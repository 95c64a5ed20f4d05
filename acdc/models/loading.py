"""Finding and reading a model's files, with errors that say what to do."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch

from acdc.defaults import DEVICE
from acdc.errors import ACDCError, ModelError
from acdc.models.config_file import check_config, check_config_file, check_heads, check_index
from acdc.zoo import zoo_names, zoo_path

__all__ = ["check_device_map", "check_one_device", "load_config", "load_model", "load_tokenizer", "loaded", "resolve"]

Loaded = TypeVar("Loaded")
logger = logging.getLogger(__name__)


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
    check_index(folder)


def load_config(place: str, revision: str | None, trust_remote_code: bool) -> Any:
    """The model's config, its sizes checked before anything is built from them.

    Raises:
        ModelError: It can't be read, or a field can't be used.
    """
    from transformers import AutoConfig, PretrainedConfig

    if Path(place).is_dir():
        check_config_file(Path(place))
    else:
        check_config(loaded(place, lambda: PretrainedConfig.get_config_dict(place, revision=revision)[0]), place)
    config = loaded(
        place, lambda: AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=trust_remote_code)
    )
    check_heads(config, place)
    return config


def load_tokenizer(place: str, revision: str | None, trust_remote_code: bool) -> Any:
    """The model's tokenizer."""
    from transformers import AutoTokenizer

    return loaded(
        place, lambda: AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=trust_remote_code)
    )


def check_device_map(device_map: str | Mapping[str, Any] | None, device: str = DEVICE) -> None:
    """Raise `ModelError` unless this device map can be used here: before the weights are loaded."""
    if device_map is None:
        return
    if device != DEVICE:
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

    hf, info = loaded(
        place,
        lambda: AutoModelForCausalLM.from_pretrained(
            place,
            config=config,
            revision=revision,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # told below, with both shapes
            **({} if device_map is None else {"device_map": device_map}),
            **_kernels(config, dtype),
            output_loading_info=True,
        ),
    )
    _check_fit(place, hf, info)
    _check_types(Path(place), hf)
    return hf


def _check_fit(place: str, hf: Any, info: Mapping[str, Any]) -> None:
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
    n_layers = getattr(hf.config, "num_hidden_layers", None)
    beyond = [name for name in unused if n_layers is not None and _layer_of(name) >= n_layers]
    problems += [f"{name!r} is in the file, and the config has only {n_layers} layers" for name in beyond]
    problems += [str(message).splitlines()[0] for message in info.get("error_msgs", ())]
    if problems:
        more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        raise ModelError(f"the weights of {place!r} don't fit its config: {problems[0]}{more}")
    if unused:
        logger.warning("%s: %d tensors of the file are used nowhere, like %r", place, len(unused), unused[0])


def _check_types(folder: Path, hf: Any) -> None:
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


def _kernels(config: Any, dtype: torch.dtype) -> dict[str, str]:
    """The default way to multiply with many experts' weights knows no float64."""
    experts = any(getattr(config, name, None) for name in ("num_experts", "num_local_experts"))
    return {"experts_implementation": "eager"} if experts and dtype == torch.float64 else {}


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
