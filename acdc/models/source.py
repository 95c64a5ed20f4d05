"""Where a model is found by its name: bundled, in a package, a local folder or file, or on the Hugging Face hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from acdc.errors import ModelError, nearest
from acdc.models.adapter import is_adapter
from acdc.models.config_file import check_index
from acdc.models.gguf import unpacked
from acdc.models.hub import WELL_KNOWN, check_reachable
from acdc.models.packaged import PACKAGED
from acdc.zoo import zoo_names, zoo_path

__all__ = ["ModelSource", "available_model", "find_model", "recorded_name", "suggesting"]

GGUF = ".gguf"


@dataclass(frozen=True)
class ModelSource:
    """A model's files.

    Attributes:
        name: The model as it was asked for.
        path: Its folder, or its GGUF file; None on the hub.
    """

    name: str
    path: Path | None = None

    @property
    def on_hub(self) -> bool:
        """Whether the hub has it, if anyone does."""
        return self.path is None

    def place(self) -> str:
        """What transformers loads: a folder, or a name on the hub. A GGUF file is unpacked for it, once.

        Raises:
            ModelError: It can't be unpacked.
        """
        if self.path is None:
            return self.name
        return str(unpacked(self.path) if self.path.suffix == GGUF else self.path)


def find_model(name: str) -> ModelSource:
    """The model of this name. A model's folder of a bundled model's name goes before the bundled model.

    Raises:
        ModelError: It is written like a path, and there is no such folder or it holds no model; or its package isn't
            installed.
    """
    with suggesting(name):
        return _find(name)


def available_model(name: str, revision: str | None = None) -> ModelSource:
    """The model of this name, if it can be had: bundled, local, downloaded before, or on a hub that answers.

    Raises:
        ModelError: It can't; see `find_model` and `check_reachable`.
    """
    source = find_model(name)
    if source.on_hub:
        with suggesting(name):
            check_reachable(name, revision)
    return source


def _find(name: str) -> ModelSource:
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        if name in zoo_names():
            return ModelSource(name, zoo_path(name))
        if name in PACKAGED:
            return ModelSource(name, PACKAGED[name].path())
    if folder.is_file() and folder.suffix != GGUF:
        raise ModelError(f"model {name!r} is a file; give the folder that holds config.json and model.safetensors")
    if folder.is_file():
        return ModelSource(name, folder)
    if folder.is_dir():
        if not is_adapter(folder):
            _check_folder(folder)
        return ModelSource(name, folder)
    if name.endswith(GGUF):
        raise ModelError(f"there is no file {name!r}")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"there is no model folder {name!r}")
    return ModelSource(name)


def recorded_name(name: str) -> str:
    """A model's name as a record keeps it: a local folder or file by its whole path, any other name as it is."""
    path = Path(name).expanduser()
    is_here = (path / "config.json").is_file() or is_adapter(path) or (path.suffix == GGUF and path.is_file())
    return str(path.resolve()) if is_here else name


@contextmanager
def suggesting(name: str) -> Iterator[None]:
    """Within it, a `ModelError` also says which known model has nearly this name."""
    try:
        yield
    except ModelError as error:
        near = nearest(name, [*zoo_names(), *PACKAGED, *WELL_KNOWN])
        if near is None or near == name or Path(name).exists():
            raise
        raise ModelError(f"{error}; did you mean {'the bundled ' if near in zoo_names() else ''}{near!r}?") from error


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
