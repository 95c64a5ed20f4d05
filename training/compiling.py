"""What the `compile_*.py` scripts share: a model is written as tables over blocks of the residual stream.

Every block holds one of n values, as a code of zero mean (a one-hot vector minus its mean) or a mixture of codes. A
head reads one block with each of q, k and v, and writes one; an MLP reads some and writes one. What a node does not
read can't touch it: all that is written has zero mean, and LayerNorm's epsilon is so large beside any variance that
LayerNorm does nothing but take the mean away, whichever world its input comes from. So an edge carries something if
and only if its source writes a block that its destination reads: the true circuit follows from the tables. A model
may have noise besides: every destination reads a little of every block, as in a trained model.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from compiled_card import card_of
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from true_spans import save_truth, split_truth
from word_tokenizer import build_tokenizer, save_tokenizer

from acdc import Circuit, Graph

__all__ = ["MLP", "Head", "Model", "carried", "codes", "equal", "main", "steps"]

EPSILON = 1e6  # LayerNorm's; variances are below 1
SHARPNESS = 12.0  # a head looks elsewhere with a weight of about 1e-5
SATURATED = 12.0  # from here on GELU is the identity, and below minus this, zero


def codes(n: int) -> Tensor:
    """n codes of zero mean and equal norm, `[n n]`."""
    return torch.eye(n, dtype=torch.float64) - 1 / n


def equal(wanted: Sequence[int], n: int) -> Tensor:
    """Attention scores `[len(wanted) n]`: high where the key's value is the one wanted for the query's value."""
    return SHARPNESS * torch.eye(n, dtype=torch.float64)[list(wanted)]


@dataclass(frozen=True)
class Head:
    """What a head reads, where it looks, and what it writes.

    Attributes:
        q, k, v: The blocks; None for a constant query or key.
        write: The block that it writes.
        value: What it writes for each value of `v`, `[v write]`, rows of zero mean.
        score: The attention score for each value of `q` and of `k`, `[q k]`, one row or column where it is None.
    """

    v: str
    write: str
    value: Tensor
    q: str | None = None
    k: str | None = None
    score: Tensor = field(default_factory=lambda: torch.zeros(1, 1, dtype=torch.float64))


@dataclass(frozen=True)
class MLP:
    """`gelu(Σ_b x_b weight[b] + bias) out + base`, written to one block.

    Attributes:
        weights: `[block hidden]` of each block that it reads, as if that block held one-hot codes.
        out: `[hidden write]`, rows of zero mean.
        base: `[write]`: what it writes besides; zero if None.
    """

    weights: Mapping[str, Tensor]
    bias: Tensor
    write: str
    out: Tensor
    base: Tensor | None = None


@dataclass(frozen=True)
class Model:
    """A model to compile.

    Attributes:
        words: The vocabulary after the special tokens.
        sizes: The blocks, and how many values each holds; `word` and `position` are the input's.
        heads, mlps: By name. A node that is not here writes nothing.
        answer: The block that the unembedding reads, and what each of its values adds to the logits, `[block vocab]`.
        same: The blocks that hold the same in both worlds: what the input writes there is never carried.
        noise: How much every head, MLP and logit reads of every block besides what it should: see `_stray`. With it
            no edge is without effect, and the true ones are those whose effect is far larger.
        at: At which spans of its task what a destination reads matters.
        backups: Nodes of which each does without the others: an edge on the way through one of them matters only
            where others are out.
    """

    name: str
    task: str
    summary: str
    story: str
    words: tuple[str, ...]
    n_positions: int
    n_layers: int
    n_heads: int
    sizes: Mapping[str, int]
    heads: Mapping[str, Head]
    mlps: Mapping[str, MLP]
    answer: tuple[str, Tensor]
    same: frozenset[str] = frozenset({"position"})
    noise: float = 0.0
    at: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    backups: tuple[str, ...] = ()

    @property
    def d_model(self) -> int:
        """Room for all blocks, and for heads that tell the values of all their blocks apart."""
        widest = max(max(head.score.shape[1], self.sizes[head.v]) for head in self.heads.values())
        return self.n_heads * max(math.ceil(sum(self.sizes.values()) / self.n_heads), widest)

    @property
    def graph(self) -> Graph:
        return Graph(self.n_layers, self.n_heads, self.d_model)

    def block(self, name: str) -> slice:
        """A block's place in the residual stream."""
        start = sum(size for _, size in self._before(name))
        return slice(start, start + self.sizes[name])

    def _before(self, name: str) -> list[tuple[str, int]]:
        items = list(self.sizes.items())
        return items[: [other for other, _ in items].index(name)]

    @property
    def writes(self) -> dict[str, set[str]]:
        """The blocks that each source writes."""
        nodes = {**self.heads, **self.mlps}
        return {"input": {"word", "position"}} | {name: {node.write} for name, node in nodes.items()}

    @property
    def reads(self) -> dict[str, set[str]]:
        """The blocks that each destination reads."""
        heads = {f"{n}<{kind}>": {getattr(head, kind)} - {None} for n, head in self.heads.items() for kind in "qkv"}
        return heads | {name: set(mlp.weights) for name, mlp in self.mlps.items()} | {"logits": {self.answer[0]}}

    @property
    def truth(self) -> Circuit:
        """The edges that carry something that is read, that differs between the worlds, and that reaches the logits."""
        mask = self.graph.prune(self.graph.mask_of(carried(self.graph, self.writes, self.reads, self.same)))
        provenance = {"task": self.task, "model": self.name, "method": "construction", "granularity": "edge"}
        return Circuit(self.graph, mask, provenance=provenance)

    def truth_at(self, spans: Sequence[str]) -> Circuit:
        """The true edges split by their task's spans: each at the spans where its destination's reading matters."""
        return split_truth(self.truth, self.at, spans)

    @property
    def n_inner(self) -> int:
        """Hidden units of the widest MLP."""
        return max((len(mlp.bias) for mlp in self.mlps.values()), default=1)

    def compile(self) -> GPT2LMHeadModel:
        """The model with its weights set, in float64."""
        n_words = self.sizes["word"]
        config = GPT2Config(
            vocab_size=n_words,
            n_positions=self.n_positions,
            n_embd=self.d_model,
            n_layer=self.n_layers,
            n_head=self.n_heads,
            n_inner=self.n_inner,
            layer_norm_epsilon=EPSILON,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
        model = GPT2LMHeadModel(config).double().eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.fill_(math.sqrt(EPSILON) if "ln_" in name and name.endswith("weight") else 0.0)
            model.transformer.wte.weight[:, self.block("word")] = codes(n_words)
            model.transformer.wpe.weight[:, self.block("position")] = codes(self.n_positions)
            block, logits = self.answer
            model.lm_head.weight[:, self.block(block)] = logits.T
            for name, head in self.heads.items():
                self._set_head(model.transformer.h[int(name[1])].attn, int(name[4:]), head)
            for name, mlp in self.mlps.items():
                self._set_mlp(model.transformer.h[int(name[1:])].mlp, mlp)
            if self.noise:
                self._stray(model)
        return model

    def _stray(self, model: GPT2LMHeadModel) -> None:
        """Add to every weight that reads the residual stream a number drawn from -noise to noise, in the weight's unit:
        that of the scores for queries, of the answer's logits for the unembedding, 1 for keys, values and MLPs."""
        rng = np.random.default_rng(0)
        scores = SHARPNESS * math.sqrt(self.d_model // self.n_heads)
        units = torch.tensor([scores, 1.0, 1.0], dtype=torch.float64).repeat_interleave(self.d_model)
        for block in model.transformer.h:
            for weight, unit in ((block.attn.c_attn.weight, units), (block.mlp.c_fc.weight, 1.0)):
                weight += self.noise * unit * torch.from_numpy(rng.uniform(-1, 1, weight.shape))
        weight = model.lm_head.weight
        weight += self.noise * self.answer[1].max() * torch.from_numpy(rng.uniform(-1, 1, weight.shape))

    def _set_head(self, attn: torch.nn.Module, h: int, head: Head) -> None:
        """q is the row of scores of its value, k a one-hot code of its value, v a one-hot code too."""
        d_head = self.d_model // self.n_heads
        columns = [slice(kind * self.d_model + h * d_head, kind * self.d_model + (h + 1) * d_head) for kind in range(3)]
        score = head.score * math.sqrt(d_head)
        n_keys, n_values = score.shape[1], self.sizes[head.v]
        if head.k is not None:
            attn.c_attn.bias[columns[0]][:n_keys] = score.mean(0)
            attn.c_attn.weight[self.block(head.k), columns[1]][:, :n_keys] = codes(n_keys)
            if head.q is not None:
                attn.c_attn.weight[self.block(head.q), columns[0]][:, :n_keys] = score
        attn.c_attn.weight[self.block(head.v), columns[2]][:, :n_values] = codes(n_values)
        attn.c_attn.bias[columns[2]][:n_values] = 1 / n_values
        attn.c_proj.weight[h * d_head : h * d_head + n_values, self.block(head.write)] = head.value

    def _set_mlp(self, module: torch.nn.Module, mlp: MLP) -> None:
        """A code is a one-hot vector minus its mean, so the bias takes up the weights' mean."""
        n = len(mlp.bias)
        module.c_fc.bias[:n] = mlp.bias + sum(weight.mean(0) for weight in mlp.weights.values())
        for block, weight in mlp.weights.items():
            module.c_fc.weight[self.block(block), :n] = weight
        module.c_proj.weight[:n, self.block(mlp.write)] = mlp.out
        if mlp.base is not None:
            module.c_proj.bias[self.block(mlp.write)] = mlp.base


def carried(
    graph: Graph, writes: Mapping[str, set[str]], reads: Mapping[str, set[str]], same: set[str] | frozenset[str]
) -> list[str]:
    """Edges whose source writes a block that the destination reads, and that may differ between the worlds."""
    edges = graph.edge_names(graph.edges_mask)
    ends = ((edge, *edge.split("->")) for edge in edges)
    return [edge for edge, src, dst in ends if writes.get(src, set()) & reads.get(dst, set()) - same]


def steps(weights: Mapping[str, Tensor], thresholds: Sequence[float], gap: float) -> tuple[dict[str, Tensor], Tensor]:
    """Hidden units for `[Σ_b x_b weight_b > threshold]`: two for each threshold, whose difference is 0 or 1.

    Args:
        weights: `[block]` of each block: what is compared.
        gap: How near to a threshold the sum never comes, above or below.

    Returns:
        Weights and biases of the units, in pairs; beyond the gap both units of a pair are saturated.
    """
    slope = (SATURATED + 1) / gap
    bias = torch.tensor([shift - slope * t for t in thresholds for shift in (0.5, -0.5)], dtype=torch.float64)
    return {block: slope * weight[:, None].expand(-1, len(bias)) for block, weight in weights.items()}, bias


def main(model: Model, doc: str | None) -> None:
    """The command line of a script: write the model."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("acdc/zoo") / model.name)
    out = parser.parse_args().out
    save(model, out)
    print(f"wrote {out}: {model.truth!r}")


def save(model: Model, out: Path) -> None:
    """Write an ordinary Hugging Face folder, its true circuit and its card."""
    out.mkdir(parents=True, exist_ok=True)
    model.compile().float().save_pretrained(out)
    save_tokenizer(build_tokenizer(model.words), out, n_positions=model.n_positions)
    save_truth(model.truth, model.at, out)
    (out / "README.md").write_text(card_of(model, out, EPSILON))
