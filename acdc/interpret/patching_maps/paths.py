"""Path patching: what a sender does to the answer by way of some receivers alone.

The sender writes what it writes in the other run, and only the receivers' inputs hear of it:

- `through="none"`: over the edges that join them, so a receiver's input changes by what the sender writes differently.
  It is what removing these edges from the whole model does.
- `through="mlps"`: over MLPs between them too. All other heads are held at the run that is patched, MLPs are computed
  again, and what the receivers then read is put into a run that is otherwise as it was (Wang et al. 2022). Their
  "direct" path is this one.

Of everything behind the receivers all is computed again, with the model's own norms.

References:
    Wang et al. 2022, Interpretability in the wild, section 3.1 and appendix B.
    Goldowsky-Dill et al. 2023, Localizing model behavior with path patching.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.errors import CircuitError, RunError, unknown_name
from acdc.interpret.patching_maps.making import made
from acdc.interpret.patching_maps.measuring import as_metrics, several
from acdc.interpret.patching_maps.node_map import NodeMap
from acdc.interpret.patching_maps.rerun import Entry, Rerun
from acdc.interpret.patching_maps.sides import Base, Sides
from acdc.interpret.patching_maps.written import check_source, destinations_of, edge_entry, place_of, written_change
from acdc.metrics import Metric
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY
from acdc.patching.activations import ActivationCache
from acdc.patching.direction import DIRECTIONS, check_direction
from acdc.progress import Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["THROUGH", "path_maps"]

THROUGH = ("none", "mlps")


def path_maps(
    model: PatchableModel,
    batch: PromptBatch,
    receivers: str | Sequence[str],
    *,
    senders: str | Sequence[str] | None = None,
    through: str = "mlps",
    directions: str | Sequence[str] = DIRECTIONS,
    metrics: str | Metric | Sequence[str | Metric] = "logit_diff",
    memory: int = MEMORY,
    progress: Tell | None = None,
) -> tuple[NodeMap, ...]:
    """Patch the paths from senders to receivers.

    Args:
        receivers: Destinations, taken together: `a9.h9<q>`, `a9.h9` for its three inputs, `m7`, `logits`.
        senders: Sources, each alone; None: every head and MLP, as a map of layers by heads.
        through: `none` or `mlps`.

    Returns:
        A map for each direction and metric: of layers by heads, or of one row with the named senders as columns.

    Raises:
        UnknownNameError: There is no such node, way, direction or metric.
        RunError: `logits` is a receiver among others, through MLPs: what it reads is then settled whatever they do.
        CircuitError: A named sender comes before no receiver.
        TaskError: The prompts don't fit the model or the metric.
    """
    if through not in THROUGH:
        raise unknown_name("way of a path (through)", through, THROUGH)
    graph, ways, chosen = model.graph, several(directions), as_metrics(metrics)
    for way in ways:
        check_direction(way)
    dsts = tuple(dict.fromkeys(dst for name in several(receivers) for dst in destinations_of(graph, name)))
    if through == "mlps" and "logits" in dsts and len(dsts) > 1:
        raise RunError("with through='mlps' what logits reads is settled by the sender alone: give logits by itself")
    asked = None if senders is None else tuple(check_source(graph, name) for name in several(senders))
    layout = _Layout.of(graph, asked, dsts)
    sides = Sides.of(model, batch)

    def entries(base: Base, donor: ActivationCache, start: int) -> Iterator[Entry]:
        if through == "none":
            for place, source in layout.places.items():
                yield edge_entry(place, base, donor, source, dsts, start)
        else:
            yield from _through_mlps(base, donor, layout.places, dsts, start, memory)

    words = "directly" if through == "none" else "through MLPs"
    site = f"paths {words} to {', '.join(several(receivers))}"
    shape = layout.rows, layout.columns
    return made(sides, site, shape, layout.trivial, entries, len(layout.places), ways, chosen, memory, progress)


@dataclass(frozen=True)
class _Layout:
    """The cells of a map of senders: which sender is where, of those that come before a receiver."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    places: dict[tuple[int, int], str]

    @classmethod
    def of(cls, graph: Graph, senders: tuple[str, ...] | None, receivers: tuple[str, ...]) -> "_Layout":
        last = max(int(graph.upstream[graph.dst_index[dst]]) for dst in receivers)
        if senders is not None:
            if late := [name for name in senders if graph.src_index[name] >= last]:
                raise CircuitError(f"{late[0]} comes before none of the receivers {', '.join(receivers)}")
            return cls(("effect",), senders, {(0, i): name for i, name in enumerate(senders)})
        heads = [f"h{h}" for h in range(graph.n_heads)]
        rows, width = tuple(map(str, range(graph.n_layers))), graph.n_heads + 1
        places = {divmod(i, width): name for i, name in enumerate(graph.sources[1:last])}
        return cls(rows, (*heads, "mlp"), places)

    @property
    def trivial(self) -> np.ndarray:
        """Senders that come before no receiver."""
        found = np.ones((len(self.rows), len(self.columns)), bool)
        for place in self.places:
            found[place] = False
        return found


def _through_mlps(
    base: Base,
    donor: ActivationCache,
    places: Mapping[tuple[int, int], str],
    dsts: tuple[str, ...],
    start: int,
    memory: int,
) -> Iterator[Entry]:
    """Each sender's run in which all other heads are held, and what the receivers read in it; many senders at once."""
    first = min(base.model.graph.layer_of(dst) for dst in dsts)
    size, left = Rerun(base, start, memory).at_once, iter(places.items())
    while part := dict(islice(left, size)):
        carried = _carried(base, donor, list(part.values()), dsts, start)
        nothing = torch.zeros_like(base.run.final[:, start:])
        for i, place in enumerate(part):
            reads = {dst: moved[i] for dst, moved in carried.items()}
            yield Entry(place, first, False, nothing, reads=reads, frozen=True)


@torch.no_grad()
def _carried(
    base: Base, donor: ActivationCache, sources: list[str], dsts: tuple[str, ...], start: int
) -> dict[str, Float[Tensor, "source batch width d_model"]]:
    """How the inputs of destinations differ, if each source's change is carried on by the stream and MLPs alone."""
    graph, found = base.model.graph, dict[str, Tensor]()
    changes = torch.stack([written_change(base, donor, source)[:, start:] for source in sources])
    enters = [place_of(base, source) for source in sources]
    wanted: dict[tuple[int, bool], list[str]] = {}
    for dst in dsts:
        behind = dst.startswith("m") and not base.parallel
        wanted.setdefault((graph.layer_of(dst), behind), []).append(dst)
    moved, live = torch.zeros_like(changes), list[int]()
    for layer in range(max(layer for layer, _ in wanted) + 1):
        for after_attention in (False, True):
            new = [i for i, place in enumerate(enters) if place == (layer, after_attention)]
            moved[new] = changes[new]
            live += new
            found |= {dst: moved.clone() for dst in wanted.get((layer, after_attention), ())}
            if live and after_attention != base.parallel and layer < graph.n_layers:
                moved[live] += _mlp_change(base, layer, moved[live], start)
    return found


def _mlp_change(
    base: Base, layer: int, moved: Float[Tensor, "n batch width d_model"], start: int
) -> Float[Tensor, "n batch width d_model"]:
    """What an MLP writes differently if its input has moved so."""
    block, old = base.model.components.blocks[layer], base.run.resid_mid[layer][:, start:]
    return block.mlp(block.ln2(old + moved)) - base.run.outputs.mlp[layer][:, start:]
