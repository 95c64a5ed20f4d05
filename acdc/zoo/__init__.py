"""The bundled models: ordinary Hugging Face folders, one each, beside this file."""

from pathlib import Path

__all__ = ["zoo_names", "zoo_path", "zoo_summary"]

HERE = Path(__file__).parent


def zoo_names() -> tuple[str, ...]:
    """Names of the bundled models."""
    return tuple(sorted(path.parent.name for path in HERE.glob("*/config.json")))


def zoo_path(name: str) -> Path:
    """The folder of a bundled model."""
    return HERE / name


def zoo_summary(name: str) -> str:
    """What a bundled model is, in the words of its card."""
    lines = (zoo_path(name) / "README.md").read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("summary: ") for line in lines if line.startswith("summary: ")), "")
