"""The models whose circuit is known, and those for which a published circuit is at hand.

A bundled model's folder says it by its `circuit.json`, whose provenance names the task and how the circuit is known;
`circuit-by-span.json` has the same edges, each at the spans of the task where it acts.
"""

from dataclasses import dataclass, field
from pathlib import Path

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.published import REFERENCES, get_reference
from acdc.errors import unknown_name
from acdc.zoo import zoo_names, zoo_path

__all__ = ["Known", "known_circuits", "known_models"]

REFERENCE_MODEL = "gpt2"


@dataclass(frozen=True)
class Known:
    """A circuit to be recovered.

    Attributes:
        model: A bundled model, or `gpt2`.
        task: The task that it is of.
        how: How it is known: `construction`, `training`, or `reference` for a published circuit, which may be wrong.
        reference: The name of the published circuit.
    """

    model: str
    task: str
    how: str
    reference: str | None = None
    task_options: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model and, where it has several known circuits, which one."""
        return self.model if self.reference is None else f"{self.model} {self.reference}"

    @property
    def spans(self) -> tuple[str, ...]:
        """The spans at which its edges are known to act; none where only whole edges are known."""
        path = self._by_span
        return Circuit.load(path).graph.spans if path is not None and path.is_file() else ()

    def circuit(self, graph: Graph) -> Circuit:
        """The known circuit, of whole edges or, if the graph's are split by its spans, of those."""
        if self.reference is not None:
            return get_reference(self.reference).circuit(graph)
        path = self._by_span if graph.spans else zoo_path(self.model) / "circuit.json"
        assert path is not None
        return Circuit.load(path, graph=graph)

    @property
    def _by_span(self) -> Path | None:
        return None if self.reference is not None else zoo_path(self.model) / "circuit-by-span.json"


def known_models() -> tuple[str, ...]:
    """Names of all models with known circuits, bundled ones first."""
    return (*(name for name in zoo_names() if (zoo_path(name) / "circuit.json").is_file()), REFERENCE_MODEL)


def known_circuits(models: list[str] | None = None) -> list[Known]:
    """The known circuits of the named models; of all bundled ones if None.

    Raises:
        UnknownNameError: A model has no known circuit.
    """
    names = list(models) if models is not None else [name for name in known_models() if name != REFERENCE_MODEL]
    for name in names:
        if name not in known_models():
            raise unknown_name("model with a known circuit", name, known_models())
    return [known for name in dict.fromkeys(names) for known in _of(name)]


def _of(model: str) -> list[Known]:
    if model == REFERENCE_MODEL:
        return [Known(model, reference.task, "reference", reference.name) for reference in REFERENCES.values()]
    provenance = Circuit.load(zoo_path(model) / "circuit.json").provenance
    return [Known(model, provenance["task"], provenance["method"], task_options=provenance.get("task_options", {}))]
