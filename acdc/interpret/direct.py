"""Direct logit attribution: what each node writes towards a logit by itself, past all that stands above it.

    logit = Σ_c g · c + constant,    c over the embedding, each head, each MLP, and the layers' output biases

`g` reads the last residual stream with the final norm's scale held at the real run's (`acdc.interpret.readout`), so the
terms sum to the logit exactly. A head's output is split from its layer's by a norm after attention in the same way: its
scale is held. With a soft cap the terms sum to the logit before the cap.

It sees direct effects alone: what a node does through later ones is in their terms. Terms of different prompts are
divided by different scales. It is no intervention: nothing is patched.

Reference: Elhage et al. 2021, A mathematical framework for transformer circuits; Wang et al. 2022, section 3.1.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.circuits.graph import Graph, kind_of
from acdc.interpret.intervals import mean_intervals
from acdc.interpret.readout import Readout, Target, read_out, target_of
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.patching.activations import ActivationCache, NodeOutputs, mapped, run
from acdc.patching.attention import constant, pull_to_heads
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BIASES", "DirectAttribution", "direct_attribution"]

BIASES = ("b_O", "b_U")  # terms that belong to no node


@dataclass(frozen=True)
class DirectAttribution:
    """What each term adds to a logit, in its unit; a positive term raises it.

    Attributes:
        terms: `input`, then each layer's heads and MLP by the graph's names; last `b_O`, all layers' attention output
            biases, and `b_U`, the final norm's bias through the unembedding and the unembedding's own.
        values: Of each term at each prompt's target, or, by position, at every one; NaN at padding.
        logit: What the terms sum to, before a soft cap.
        towards: What it is, in words.
        cap_slope: Share of a small change that passes the soft cap, at the target; None without a cap.
        side: `clean` or `corrupt`: which prompts ran.
        baseline: What was subtracted from each node's output, in words; empty: nothing.
    """

    graph: Graph
    batch: PromptBatch
    terms: tuple[str, ...]
    values: Float[Tensor, "term batch *pos"]
    logit: Float[Tensor, "batch *pos"]
    towards: str
    cap_slope: Float[Tensor, "batch *pos"] | None = None
    side: str = "clean"
    baseline: str = ""

    def of(self, term: str) -> Float[Tensor, "batch *pos"]:
        """A term's values."""
        return self.values[self.terms.index(term)]

    def frame(self) -> "pd.DataFrame":
        """One row a term: `term`, `kind`, `layer`, `mean`, `low`, `high` (95% interval over prompts), the largest in
        size first; by position one row a term, prompt and position: `term`, `prompt`, `position`, `value`."""
        return _by_position(self) if self.values.ndim == 3 else _means(self)


@torch.no_grad()
def direct_attribution(
    model: PatchableModel,
    batch: PromptBatch,
    *,
    towards: str | int = "difference",
    side: Literal["clean", "corrupt"] = "clean",
    by_position: bool = False,
    cache: ActivationCache | None = None,
    minus: NodeOutputs | None = None,
) -> DirectAttribution:
    """Split each prompt's logit, or logit difference, into what the nodes write.

    Args:
        towards: `difference` (mean of the correct minus mean of the wrong answers), `correct`, `wrong`, or a token id.
        side: Which prompts run.
        by_position: At every position, not just the target: what nodes write there towards the same answers.
        cache: The run, where it was made before, like `Problem.clean`.
        minus: Other outputs to take away, like `Problem.ablated.outputs`: a term is then the exact effect of ablating
            the node's edge to `logits`, with the final norm's scale held; the biases' terms are 0.

    Raises:
        TaskError: A prompt doesn't fit the model, or lacks the answers asked for.
        ModelError: The final norm's scale can't be held.

    """
    model.check_batch(batch)
    batch = batch.to(model.device)
    target = target_of(batch, towards, len(model.components.unembed))
    cache = cache or run(model, batch, batch.clean if side == "clean" else batch.corrupt)
    where = batch.attention if by_position else _last(batch)
    readout = _readout(model, cache.final, target, where)
    outputs = _at(cache.outputs, where)
    if minus is not None:
        outputs = mapped(lambda a, b: wide(a) - wide(b), outputs, _at(minus, where))
    rows = [*_node_terms(model, outputs, readout.gradient), *_bias_terms(model, readout, minus)]
    values = _spread(torch.stack(rows), where, by_position)
    total = values.sum(0) if minus is not None else _spread(readout.logit, where, by_position)
    slope = None if readout.cap_slope is None else _spread(readout.cap_slope, where, by_position)
    return DirectAttribution(
        model.graph,
        batch,
        (*model.graph.sources, *BIASES),
        values,
        total,
        target.name,
        slope,
        side,
        "" if minus is None else "the ablated outputs",
    )


def _last(batch: PromptBatch) -> Tensor:
    where = torch.zeros_like(batch.attention)
    where[:, -1] = True
    return where


def _at(outputs: NodeOutputs, where: Tensor) -> NodeOutputs:
    """The outputs at some tokens, as rows."""
    return mapped(lambda x: x[..., where, :], outputs)


def _readout(model: PatchableModel, final: Tensor, target: Target, where: Tensor) -> Readout:
    prompt = where.nonzero()[:, 0]
    return read_out(model, final[where], target.tokens[prompt], target.weights.to(final.device)[prompt])


def _node_terms(
    model: PatchableModel, outputs: NodeOutputs, gradient: Float[Tensor, "row d_model"]
) -> Iterator[Float[Tensor, " row"]]:
    """`g · c` of every source, in the graph's order; a head's in its own space, `z · (W_O g)`."""
    yield (outputs.input * gradient).sum(-1)
    for block, z, mlp in zip(model.components.blocks, outputs.z, outputs.mlp, strict=True):
        attention = block.attention
        pulled = pull_to_heads(attention, gradient.to(attention.W_O.dtype), range(attention.n_heads))
        yield from (wide(z) * pulled).sum(-1)
        yield (mlp * gradient).sum(-1)


def _bias_terms(model: PatchableModel, readout: Readout, minus: NodeOutputs | None) -> list[Float[Tensor, " row"]]:
    added = torch.zeros_like(readout.gradient[0])
    for block in model.components.blocks:
        bias = constant(block.attention)
        added = added if bias is None else added + bias.to(added)
    terms = [readout.gradient @ added, readout.constant]
    return terms if minus is None else [torch.zeros_like(term) for term in terms]


def _spread(rows: Tensor, where: Tensor, by_position: bool) -> Tensor:
    """Rows of tokens as `[.. batch]`, or `[.. batch pos]` with NaN at padding."""
    if not by_position:
        return rows
    found = rows.new_full((*rows.shape[:-1], *where.shape), math.nan)
    found[..., where] = rows
    return found


def _kind_and_layer(graph: Graph, term: str) -> tuple[str, int]:
    return ("bias", -1) if term in BIASES else (kind_of(term), graph.layer_of(term))


def _means(found: DirectAttribution) -> "pd.DataFrame":
    import pandas as pd

    means = mean_intervals(found.values.double().cpu().numpy())
    kinds, layers = zip(*(_kind_and_layer(found.graph, term) for term in found.terms), strict=True)
    frame = pd.DataFrame({"term": found.terms, "kind": kinds, "layer": layers, **means._asdict()})
    return frame.sort_values("mean", key=abs, ascending=False, ignore_index=True, kind="stable")


def _by_position(found: DirectAttribution) -> "pd.DataFrame":
    import pandas as pd

    real: Int[Tensor, "row 2"] = found.batch.attention.nonzero()
    prompts, columns = real.unbind(1)
    positions = found.batch.position_ids[prompts, columns]
    return pd.DataFrame(
        {
            "term": [term for term in found.terms for _ in range(len(real))],
            "prompt": prompts.tolist() * len(found.terms),
            "position": positions.tolist() * len(found.terms),
            "value": found.values[:, prompts, columns].flatten().double().cpu().numpy(),
        }
    )
