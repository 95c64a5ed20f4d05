"""Random transcoders of tiny models, and the replacement model run again with all held: the oracle of the rows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from acdc.features.activations import ReLU
from acdc.features.attribution_graphs import AttributionGraph
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site, through_sites
from acdc.models import PatchableModel
from acdc.patching.gradient.frozen_norms import FrozenNorms
from acdc.prompts.texts import text_batch

PROMPT = "3 14 15 9 2 6"


def transcoders(
    model: PatchableModel, *, kind: str = "mlp_in", skip: bool = False, cross: bool = False, n: int = 12
) -> tuple[Dictionary, ...]:
    """One of each layer, with random weights; `cross`: each writes at all later MLPs too."""
    draw, d = torch.Generator().manual_seed(0), model.graph.d_model

    def random(*shape: int) -> Tensor:
        return 0.3 * torch.randn(*shape, generator=draw, dtype=torch.float64)

    found = []
    for layer in range(model.graph.n_layers):
        last = model.graph.n_layers if cross else layer + 1
        writes = tuple(Site(to, "mlp_out") for to in range(layer, last))
        weights = random(n, d), random(n), random(n, len(writes), d), random(len(writes), d)
        skipped = random(d, d) if skip else None
        found.append(Dictionary(f"t{layer}", Site(layer, kind), writes, *weights, ReLU(), skip=skipped))
    return tuple(found)


class Held(TorchFunctionMode):
    """Notes inverse roots and patterns in a first run, and gives the same ones in all later ones."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []
        self.at: int | None = None

    def hold(self, value: Tensor) -> Tensor:
        if self.at is None:
            self.kept.append(value)
            return value
        self.at += 1
        return self.kept[self.at - 1]

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = function(*args, **(kwargs or {}))
        return self.hold(out) if function in (torch.rsqrt, Tensor.rsqrt) else out


@torch.no_grad()
def held_values(
    model: PatchableModel, dictionaries: Sequence[Dictionary], graph: AttributionGraph
) -> Callable[[np.ndarray], np.ndarray]:
    """From a factor for each node of a whole graph to the values of its rows, by a run with all held, from the sources'
    own outputs: nothing here is a gradient."""
    batch, held = text_batch([PROMPT], model.tokenizer), Held()
    by_layer = {each.reads.layer: each for each in dictionaries}
    layers = model.graph.n_layers

    def softmax(scores: Tensor) -> Tensor:
        return held.hold(scores.softmax(-1))

    blocks = [replace(b, attention=replace(b.attention, softmax=softmax)) for b in model.components.blocks]

    def run(change: Callable[[Site, Tensor], Tensor], embeddings: Tensor | None) -> tuple[dict[Site, Tensor], Tensor]:
        seen: dict[Site, Tensor] = {}

        def visit(site: Site, x: Tensor) -> Tensor:
            seen[site] = x
            return change(site, x)

        with held, FrozenNorms():
            final = through_sites(model, batch, batch.clean, visit, embeddings=embeddings, blocks=blocks)
            normed, parts = model.components.ln_final(final[:, -1]), model.components
        logits = (
            normed @ parts.unembed.T + (0 if parts.unembed_bias is None else parts.unembed_bias)
        ) / parts.logit_divisor
        return seen, logits - logits.mean()  # before a soft cap

    real, _ = run(lambda site, x: x, None)
    features = {layer: each.encode(real[each.reads])[0] for layer, each in by_layer.items()}
    start = model.embed(batch.clean, batch.position_ids)

    def at(factors: np.ndarray) -> np.ndarray:
        scale = dict(zip([node.id for node in graph.nodes], factors.tolist(), strict=True))
        held.at = 0
        scaled = {layer: torch.zeros_like(x) for layer, x in features.items()}
        errors, embeddings = torch.zeros(layers, *start.shape[1:]).double(), torch.zeros_like(start)
        for node in graph.nodes:
            if node.kind == "feature":
                scaled[node.layer][node.position, node.index] = (
                    scale[node.id] * features[node.layer][node.position, node.index]
                )
            elif node.kind == "error":
                out = Site(node.layer, "mlp_out")
                found = real[out][0, node.position].clone()
                for each in dictionaries:
                    if out in each.writes:
                        x, f = real[each.reads][0, node.position], features[each.reads.layer][node.position]
                        found -= each.decode(f, x, site=out)
                errors[node.layer, node.position] = scale[node.id] * found
            elif node.kind == "token":
                embeddings[0, node.position] = scale[node.id] * start[0, node.position]
        reads: dict[Site, Tensor] = {}

        def change(site: Site, x: Tensor) -> Tensor:
            reads[site] = x
            if site.kind != "mlp_out":
                return x
            parts = [
                each.decode(scaled[each.reads.layer], reads[each.reads][0], site=site)
                for each in dictionaries
                if site in each.writes
            ]
            return (errors[site.layer] + sum(parts))[None]

        seen, logits = run(change, embeddings)
        values = []
        for row in graph.rows:
            node = graph.nodes[row]
            if node.kind == "logit":
                values.append(float(logits[0, node.index]))
            else:
                each = by_layer[node.layer]
                values.append(float(each.pre_activations(seen[each.reads])[0, node.position, node.index]))
        return np.array(values)

    return at
