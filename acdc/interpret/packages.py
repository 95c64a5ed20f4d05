"""Packages that only some parts need."""

from importlib.util import find_spec

from acdc.errors import RunError

__all__ = ["need_scikit_learn"]


def need_scikit_learn() -> None:
    """Raise `RunError` unless scikit-learn can be imported."""
    if find_spec("sklearn") is None:
        raise RunError("probes need the package scikit-learn: pip install 'acdc-engine[probes]'")
