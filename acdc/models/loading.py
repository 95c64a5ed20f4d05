"""Finding and reading a model's files, with errors that say what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from acdc.errors import ModelError
from acdc.zoo import zoo_names, zoo_path

__all__ = ["load_config", "load_model", "load_tokenizer", "resolve"]

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


def load_model(place: str, config: Any, revision: str | None, dtype: torch.dtype, trust_remote_code: bool) -> Any:
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


def _load(place: str, load: Callable[[], Loaded]) -> Loaded:
    """`load()`, with whatever goes wrong told as a `ModelError` of one or two lines."""
    try:
        return load()
    except MemoryError:
        raise
    except Exception as error:  # transformers, huggingface_hub and safetensors raise many kinds
        raise ModelError(f"model {place!r} can't be loaded: {_reason(place, error)}") from error


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
