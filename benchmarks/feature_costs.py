"""What features cost on a real model: time beside a plain forward pass of the same prompts or text, and memory.

The dictionaries have random weights, which cost what trained ones cost: TopK SAEs of the residual stream. Each row is
measured in turn with its yardstick; its first call isn't timed, but tells the memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pydoc_data.topics import topics

import torch
from jaxtyping import Float
from real_model import Row
from timing import CLOCKS, added_memory, beside, forward_on
from torch import Tensor
from torch.nn.functional import normalize

from acdc import PatchableModel
from acdc.discovery import METHODS, default_metric
from acdc.features.activations import TopK
from acdc.features.attribution_graphs import trace
from acdc.features.circuits.edges import feature_edges
from acdc.features.circuits.effects import node_effects
from acdc.features.circuits.masks import Kept
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.runs import FeatureRuns
from acdc.features.dictionary import Dictionary
from acdc.features.reading import read_features
from acdc.features.reading.corpus import windows_of
from acdc.features.reading.weights import neighbours, written_logits
from acdc.features.site_values import site_values
from acdc.features.sites import Site
from acdc.features.training import VARIANTS, Recipe
from acdc.features.training.learner import Learner
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_batch
from acdc.task import load_task

__all__ = ["HEAD", "Costs"]

HEAD = "| | CPU s | a plain forward, s | ratio | added GB |\n|---|---|---|---|---|"
PROMPT = "The capital of Australia is"
STEPS, JOINED = 10, 8
LETTERS = 8  # more than a token has
Call = Callable[[], object]


@dataclass(frozen=True)
class Costs:
    """One model, and how its costs are measured.

    Attributes:
        n: Prompts of the task.
        n_tokens: Of text; it comes with Python.
        width, k: Of the dictionaries.
    """

    model: PatchableModel
    task: str
    n: int
    n_tokens: int
    width: int
    k: int
    repeats: int

    def rows(self) -> Iterator[Row]:
        """All of them."""
        yield from self.of_dictionaries()
        yield from self.of_circuits()
        yield from self.of_graphs()

    def of_dictionaries(self) -> Iterator[Row]:
        """On text: a dictionary alone, reading its features, and a step of training."""
        sae, x = self.sae(self.sites[0]), self.values
        text = f"{len(x):,} tokens"

        def there_and_back() -> Tensor:
            return sae.decode(sae.encode(x))

        yield self.row(f"encode and decode, {text}", torch.no_grad()(there_and_back), self.text)

        def written() -> object:
            return written_logits(self.model, sae), neighbours(sae)

        yield self.row(f"reading all features, {text}", partial(read_features, self.model, sae, self.text), self.text)
        yield self.row("of which logits and neighbours, of any text", written, self.text)
        for variant in VARIANTS:
            learner = Learner(Recipe(variant, self.width, self.k), x, None, steps=1000, seed=0)
            yield self.row(f"a step of training by {variant}, {text}", partial(learner.step, x, None, 500), self.text)

    def of_circuits(self) -> Iterator[Row]:
        """On the task's prompts: the parts of a feature circuit's search."""
        one, both = self.runs(*self.sites[:1]), self.runs(*self.sites)
        batch, spans = self.problem.batch, self.problem.batch.spans
        yield self.row(
            f"effects of all nodes of a site, {STEPS} gradients", lambda: node_effects(one, steps=STEPS), batch
        )
        effects = node_effects(both, steps=1)
        ranked = effects.ranked()
        nodes = [name for site in self.sites for name, _ in [pair for pair in ranked if pair[0].site == site][:JOINED]]
        yield self.row(
            f"edges into a node (of {JOINED}, and the logits)",
            lambda: feature_edges(both, effects, nodes, steps=1),
            batch,
            share=JOINED + 1,
        )
        half = Kept.of(both.placed, spans, [name for name, _ in ranked[: len(ranked) // 2]])
        yield self.row("a feature circuit's forward pass, half of the nodes", lambda: both.loss(half), batch)

    def of_graphs(self) -> Iterator[Row]:
        """On one prompt."""
        prompt = text_batch([PROMPT], self.model.tokenizer)
        name = f"attribution graph of heads and MLPs, one prompt of {prompt.n_pos} tokens"
        yield self.row(name, lambda: trace(self.model, PROMPT), prompt)
        every = [self.transcoder(layer) for layer in range(self.model.graph.n_layers)]
        active = len(every) * prompt.n_pos * self.k
        name = f"attribution graph of {active:,} features of transcoders, one prompt of {prompt.n_pos} tokens"
        yield self.row(name, lambda: trace(self.model, PROMPT, every), prompt)

    def row(self, name: str, call: Call, batch: PromptBatch, *, share: int = 1) -> Row:
        """A call beside a plain forward pass of a batch; a share of it where it does several things of a kind."""
        memory = added_memory(call)
        own, plain, ratio = beside(call, forward_on(self.model, batch), repeats=self.repeats, clock=CLOCKS["cpu"])
        return Row(name, own / share, plain, ratio / share, memory)

    @cached_property
    def sites(self) -> tuple[Site, Site]:
        """Where the dictionaries stand: a third and two thirds of the way."""
        n = self.model.graph.n_layers
        return Site(n // 3, "resid_post"), Site(2 * n // 3, "resid_post")

    @cached_property
    def text(self) -> PromptBatch:
        return windows_of(["\n".join(topics.values())[: LETTERS * self.n_tokens]], self.model, most=self.n_tokens)

    @cached_property
    def values(self) -> Float[Tensor, "tokens d"]:
        """What the first site holds on the text."""
        return site_values(self.model, self.text, self.sites[:1])[0]

    @cached_property
    def problem(self) -> Problem:
        task = load_task(self.task)
        batch = task.batch(self.model.tokenizer, self.n, 0)
        return Problem.make(self.model, batch, metric=default_metric(task, METHODS["eap"]))

    def runs(self, *sites: Site) -> FeatureRuns:
        """Runs with a dictionary at each of some sites."""
        return FeatureRuns(self.problem, Placed.on(self.model, [self.sae(site) for site in sites]))

    def sae(self, site: Site) -> Dictionary:
        """Random directions."""
        return self.between(site, site)

    def transcoder(self, layer: int) -> Dictionary:
        """Random directions that stand for a layer's MLP."""
        return self.between(Site(layer, "mlp_in"), Site(layer, "mlp_out"))

    def between(self, reads: Site, writes: Site) -> Dictionary:
        draw = torch.Generator().manual_seed(reads.layer)
        rows = normalize(torch.randn(self.width, self.model.graph.d_model, generator=draw), dim=1)
        nothing, b_dec = torch.zeros(self.width), torch.zeros(1, self.model.graph.d_model)
        return Dictionary("random", reads, (writes,), rows, nothing, rows[:, None], b_dec, TopK(self.k))
