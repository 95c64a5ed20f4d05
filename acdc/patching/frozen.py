"""A model whose own weights take no gradient for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from acdc.models import PatchableModel

__all__ = ["frozen"]


@contextmanager
def frozen(model: PatchableModel) -> Iterator[None]:
    """The model's parameters need no gradient within."""
    trained = [parameter for parameter in model.hf.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
