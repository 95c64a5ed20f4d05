"""The bundled models: ordinary Hugging Face folders, one each, beside this file."""

from pathlib import Path

__all__ = ["zoo_names", "zoo_path"]

HERE = Path(__file__).parent


def zoo_names() -> tuple[str, ...]:
    """Names of the bundled models."""
    return tuple(sorted(path.parent.name for path in HERE.glob("*/config.json")))


def zoo_path(name: str) -> Path:
    """The folder of a bundled model."""
    return HERE / name
