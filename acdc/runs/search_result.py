"""A search's result as JSON, exact to the last bit: the checkpoint keeps it until the run's files are written."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Bool
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.discovery import DiscoveryResult
from acdc.errors import FileError, printable
from acdc.files import validated

__all__ = ["result_from_json", "result_to_json"]

TENSORS = ("mask", "scores")


class _Conclusion(BaseModel):
    model_config = ConfigDict(strict=True)

    kept: list[bool]
    scores: list[float]
    told: dict[str, Any]


def result_to_json(found: DiscoveryResult, graph: Graph) -> dict[str, Any]:
    """What JSON can hold of a search's result; the edges are in the graph's order."""
    edges = graph.edges_mask
    told = {field.name: getattr(found, field.name) for field in fields(found) if field.name not in TENSORS}
    told = json.loads(json.dumps(told, default=_plain))
    return {"kept": found.mask[edges].tolist(), "scores": found.scores[edges].double().tolist(), "told": told}


def _plain(value: Any) -> Any:
    """Numbers of NumPy and PyTorch as Python's, mappings as dictionaries, and anything else as text."""
    if isinstance(value, Mapping):
        return dict(value)
    return value.item() if callable(getattr(value, "item", None)) else str(value)


def result_from_json(value: Mapping[str, Any], graph: Graph) -> DiscoveryResult:
    """The result that `result_to_json` wrote.

    Raises:
        FileError: It isn't the result of a search in this graph.
    """
    told = validated(_Conclusion, value, what="the result in the checkpoint doesn't fit")
    if not len(told.kept) == len(told.scores) == graph.n_edges:
        raise FileError(f"the result in the checkpoint doesn't fit: it is of {len(told.kept):,} edges")
    edges: Bool[Tensor, "src dst"] = graph.edges_mask
    mask, scores = torch.zeros_like(edges), torch.full(edges.shape, torch.nan, dtype=torch.float64)
    mask[edges], scores[edges] = torch.tensor(told.kept), torch.tensor(told.scores, dtype=torch.float64)
    try:
        return DiscoveryResult(mask=mask, scores=scores, **told.told)
    except TypeError as error:
        raise FileError(f"the result in the checkpoint doesn't fit: {printable(str(error))}") from None
