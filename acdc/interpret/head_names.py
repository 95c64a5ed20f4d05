"""Heads by their names, like `a5.h1`: layer 5, head 1, both from 0."""

from acdc.errors import CircuitError, nearest, printable
from acdc.models import PatchableModel

__all__ = ["Head", "head_names", "place_of"]

Head = tuple[int, int]


def head_names(model: PatchableModel) -> list[str]:
    """All heads' names, layer by layer."""
    graph = model.graph
    return [graph.sources[graph.head_src(layer, h)] for layer in range(graph.n_layers) for h in range(graph.n_heads)]


def place_of(model: PatchableModel, head: str) -> Head:
    """The layer and the number of a head.

    Raises:
        CircuitError: The model has no such head.

    >>> from acdc.models import PatchableModel
    >>> place_of(PatchableModel.from_pretrained("induction-compiled"), "a1.h3")
    (1, 3)
    """
    names = head_names(model)
    if head in names:
        layer, h = divmod(names.index(head), model.graph.n_heads)
        return layer, h
    near = nearest(head, names)
    hint = "" if near is None else f"; did you mean {near!r}?"
    raise CircuitError(
        f"{model.name!r} has no head {printable(str(head), 60)!r}: its heads are {names[0]!r} to {names[-1]!r} "
        f"({model.graph.shape}){hint}"
    )
