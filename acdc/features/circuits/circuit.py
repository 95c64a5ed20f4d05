"""A feature circuit: nodes, edges between them, and how they were found."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from acdc.circuits.supernodes import Supernodes, check_supernodes, contracted, merged
from acdc.circuits.weighted import WeightedGraph
from acdc.errors import counted
from acdc.features.circuits.graph import graph_of
from acdc.features.circuits.nodes import ERROR, FeatureEdge, FeatureNode, NodeName
from acdc.files import write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMAT", "VERSION", "DictionaryRecord", "FeatureCircuit"]

FORMAT, VERSION = "acdc feature circuit", 1
LONGEST = 40  # letters of a label in pictures


@dataclass(frozen=True)
class DictionaryRecord:
    """Which dictionary stands at a site.

    Attributes:
        reads, writes: Its sites.
        sha256: Of its encoder's weights: another dictionary's features aren't this one's.
    """

    name: str
    reads: str
    writes: str
    n_features: int
    sha256: str


@dataclass(frozen=True)
class FeatureCircuit:
    """The nodes that a task needs, the strongest first, and the edges between them.

    Attributes:
        model, task, metric: What it is of.
        ablation, errors: What nodes that aren't kept have, and what becomes of errors: see
            `acdc.features.circuits.runs`.
        spans: The spans that nodes are of; empty: all positions.
        dictionaries: By site, in the model's order.
        nodes, edges: See there.
        n_candidates: How many nodes have any effect.
        n_joined: Between how many of the strongest nodes edges were measured.
        n_prompts: That effects are means over, and `prompts` their names: see `PromptBatch.fingerprint`.
        told: How nodes were chosen, and what was measured on the way; `error_share`, the errors' part of the summed
            sizes of all effects.
        settings: Of the gradients, and the threshold of edges.
        cost: Forward and backward passes of all prompts.
        supernodes: Nodes that are drawn as one, as a reader chose them: lists of a name and nodes' names.
        labels: What features are for, in words, by nodes' names: a reader's own, or the rule by which one fires.
        alike: Features that are alike, likewise: see `acdc.features.similarity`.
    """

    model: str
    task: str
    metric: str
    ablation: str
    errors: str
    spans: tuple[str, ...]
    dictionaries: tuple[DictionaryRecord, ...]
    nodes: tuple[FeatureNode, ...]
    edges: tuple[FeatureEdge, ...]
    n_candidates: int
    n_joined: int
    n_prompts: int
    prompts_sha256: str
    told: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, int] = field(default_factory=dict)
    supernodes: Supernodes = ()
    labels: dict[str, str] = field(default_factory=dict)
    alike: Supernodes = ()

    @property
    def names(self) -> tuple[NodeName, ...]:
        """The nodes' names, taken apart."""
        return tuple(NodeName.parse(node.name) for node in self.nodes)

    def frame(self) -> "pd.DataFrame":
        """One row a node: `node`, `site`, `layer`, `index` (none: the error), `span`, `effect`, `label` (or an
        empty text)."""
        import pandas as pd

        rows = [
            {
                "node": node.name,
                "site": str(name.site),
                "layer": name.site.layer,
                "index": name.index,
                "span": name.span,
                "effect": node.effect,
                "label": self.labels.get(node.name, ""),
            }
            for node, name in zip(self.nodes, self.names, strict=True)
        ]
        found = pd.DataFrame(rows, columns=["node", "site", "layer", "index", "span", "effect", "label"])
        return found.astype({"index": "Int64"})

    def edges_frame(self) -> "pd.DataFrame":
        """One row an edge, the strongest first: `src`, `dst`, `weight`."""
        import pandas as pd

        return pd.DataFrame([asdict(edge) for edge in self.edges], columns=["src", "dst", "weight"])

    def graph(
        self, *, labels: dict[str, str] | None = None, most: int | None = None, grouped: bool = False
    ) -> WeightedGraph:
        """The nodes that edges join, as a weighted graph, which `acdc.draw` draws.

        Args:
            labels: What a node is called in a picture, by its name; else its number and the beginning of its label.
            most: Only so many edges, the strongest.
            grouped: Each supernode is one node.
        """
        graph = graph_of(self, {name: self.called(name) for name in self.labels} | (labels or {}))
        return (contracted(graph, self.supernodes) if grouped else graph).strongest(most)

    def called(self, name: str) -> str:
        """A node's number and the beginning of its label, if it has one."""
        node, label = NodeName.parse(name), self.labels.get(name, "")
        number = ERROR if node.index is None else str(node.index)
        return f"{number} {shorten(label.removeprefix('fires '), LONGEST, placeholder='…')}".strip()

    def with_supernodes(self, groups: Mapping[str, Iterable[str]]) -> "FeatureCircuit":
        """The circuit with these nodes drawn as one, by the groups' names; they leave the groups that they were in.

        Raises:
            CircuitError: A node isn't one of the circuit's, or is in two of the groups.
        """
        found = merged(self.supernodes, groups)
        check_supernodes(found, {node.name for node in self.nodes})
        return replace(self, supernodes=found)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it; `load_feature_circuit` reads it back."""
        return {"format": FORMAT, "version": VERSION} | asdict(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as JSON.

        Raises:
            FileError: The file can't be written.
        """
        return write_json(path, self.to_dict())

    def summary(self) -> str:
        """How many nodes of what, and what they keep, in a few lines."""
        counts = Counter(str(name.site) for name in self.names if name.index is not None)
        errors = sum(name.index is None for name in self.names)
        sites = ", ".join(f"{n:,} at {site}" for site, n in counts.items()) or "none"
        lines = [
            f"{counted(len(self.nodes), 'node')} of {self.n_candidates:,} that have any effect on {self.metric}, "
            f"on {counted(self.n_prompts, 'prompt')} of {self.task}",
            f"features: {sites}" + (f"; {counted(errors, 'error')}" if errors else "") + self._error_share(),
            f"{counted(len(self.edges), 'edge')}{self._joined()}",
        ]
        if "faithfulness" in self.told:
            lines.append(f"keeps {self.told['faithfulness']:.3f} of {self.metric}, on these prompts")
        return "\n".join(lines)

    def _error_share(self) -> str:
        share = self.told.get("error_share")
        return "" if share is None else f" (errors hold {share:.0%} of the summed sizes of all effects)"

    def _joined(self) -> str:
        return f" between the {self.n_joined:,} strongest nodes" if self.n_joined < len(self.nodes) else ""
