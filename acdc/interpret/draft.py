"""An explanation under way: what sections found, put together."""

from typing import Any

import numpy as np

from acdc.circuits.graph import Graph
from acdc.circuits.names import kind_of
from acdc.evaluation.confidence import Interval, mean_interval
from acdc.interpret.explanation import Estimate, Explanation, NodeCard
from acdc.version import __version__

__all__ = ["card", "empty", "estimate", "estimated", "number", "together"]


def empty(circuit: str = "", **fields: Any) -> Explanation:
    """An explanation that says nothing but these fields."""
    return Explanation(made_with=f"acdc {__version__}", circuit=circuit, **fields)


def card(graph: Graph, name: str, **fields: Any) -> NodeCard:
    """A node's card of which some fields are known."""
    return NodeCard(name=name, kind=kind_of(name), layer=graph.layer_of(name), **fields)


def together(so_far: Explanation, found: Explanation) -> Explanation:
    """What two hold together: lists one after the other, cards of one node joined; of what both say the latter."""
    fields: dict[str, Any] = {}
    for name in found.model_fields_set - {"made_with", "circuit", "nodes"}:
        before, value = getattr(so_far, name), getattr(found, name)
        fields[name] = (
            [*before, *value] if isinstance(value, list) else before | value if isinstance(value, dict) else value
        )
    return so_far.model_copy(update={**fields, "nodes": _joined(so_far.nodes, found.nodes)})


def _joined(before: list[NodeCard], found: list[NodeCard]) -> list[NodeCard]:
    cards = dict[str, NodeCard]()
    for each in (*before, *found):  # either may have several cards of a node
        known = {name: getattr(each, name) for name in each.model_fields_set}
        cards[each.name] = cards[each.name].model_copy(update=known) if each.name in cards else each
    return list(cards.values())


def estimate(values: Any) -> Estimate:
    """The mean of prompts' values with its interval."""
    return estimated(mean_interval(np.asarray(values, float)))


def estimated(found: Interval) -> Estimate:
    """An interval as `explanation.json` holds it."""
    return Estimate(value=number(found.value), low=number(found.low), high=number(found.high))


def number(value: float | None) -> float | None:
    """A number that JSON can hold; None for what isn't finite."""
    return None if value is None or not np.isfinite(value) else float(value) + 0.0  # no -0
