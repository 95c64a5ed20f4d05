"""Optimal ablation: each source's constant harms the model's predictions least when it alone is ablated (Li & Janson).

    a_s = argmin_a mean_b KL(model(x_b) ‖ model(x_b) with out_s = a at every position)

Each source's constant is learned by Adam, all at once in separate runs, from the mean over all tokens of the corrupted
prompts; a source whose constant became no better than that keeps the mean. KL is the loss whatever a search's metric
is, as in the paper: so the constants say what a source is worth to the model, and metrics can be compared.

It fails where several sources are ablated together, for which these constants aren't the best; the paper learns others
for each circuit. On other prompts than those that they were learned on they need not beat the mean.

Reference: Li, Janson 2024, Optimal ablation for interpretability (arXiv 2409.09951), section 2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from acdc.metrics import get_metric
from acdc.models import PatchableModel
from acdc.options.defaults import MASKED_MEMORY
from acdc.patching.ablation import Ablated, Ablation, everywhere
from acdc.patching.ablations.alone import INPUT, Alone, Rows, rows_that_fit
from acdc.patching.ablations.constants import added, from_vector, sizes
from acdc.patching.ablations.keeper import Keeper
from acdc.patching.ablations.mean_all import mean_constants
from acdc.patching.activations import NodeOutputs, run
from acdc.patching.frozen import frozen
from acdc.progress import Progress
from acdc.prompts.batch import PromptBatch

__all__ = ["ABLATION", "Learner"]

STEPS = 50
LR = 0.1  # of Adam, in standard deviations of a source's output; it falls to 0
PROMPTS = 8  # a source and step, at most
RUNS = 10_000  # in which a source is ablated, after which fewer prompts are taken, down to one
CHECKPOINTS = 10  # times that the state is kept
STAGE = "learning constants"


def optimal(
    model: PatchableModel,
    batch: PromptBatch,
    clean: NodeOutputs,
    seed: int,
    *,
    memory: int = MASKED_MEMORY,
    keeper: Keeper | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Ablated:
    """Constants that are learned on the clean prompts."""
    learner = Learner(Alone(model, batch, run(model, batch, batch.clean)), seed, progress, memory)
    with frozen(model):
        constants = learner.learn(keeper)
    return everywhere(constants, batch, learned=True)


@dataclass
class Learner:
    """Learns the constants; in `theta` they are so many standard deviations from the mean, source after source."""

    alone: Alone
    seed: int
    progress: Callable[[Progress], None] | None = None
    memory: int = MASKED_MEMORY
    done: int = 0

    def learn(self, keeper: Keeper | None = None) -> NodeOutputs:
        """The better of what was learned and of the mean, source by source."""
        learned = self._trained(keeper)
        is_better = self.losses(learned) < self.losses(torch.zeros_like(learned))
        return self.constants(learned * is_better.to(learned.device).repeat_interleave(self._sizes))

    def constants(self, theta: Float32[Tensor, " numbers"]) -> NodeOutputs:
        """The constants as tensors, in the model's dtype."""
        return added(self._mean, from_vector(theta * self._deviations.repeat_interleave(self._sizes), self._mean))

    @torch.no_grad()
    def losses(self, theta: Float32[Tensor, " numbers"]) -> Float[Tensor, " src"]:
        """The mean loss over all prompts with each source alone ablated."""
        prompts = torch.arange(self.alone.batch.n, device=theta.device)
        return torch.cat([self._loss_by_source(theta, layer, prompts) for layer in self._all_layers])

    def _trained(self, keeper: Keeper | None) -> Float32[Tensor, " numbers"]:
        theta = torch.zeros(int(self._sizes.sum()), device=self._sizes.device, requires_grad=True)
        adam = torch.optim.Adam([theta], lr=LR, foreach=False)
        step = _load(keeper, theta, adam)
        self.done = step * self._n_sources * self._n_prompts
        while step < STEPS:
            adam.param_groups[0]["lr"] = LR * (1 - step / STEPS)
            adam.zero_grad()
            with torch.enable_grad():
                for layer in self._all_layers:
                    self._loss_by_source(theta, layer, self._prompts(step), descend=True)
            adam.step()
            step += 1
            if keeper is not None and step % (STEPS // CHECKPOINTS) == 0 and step < STEPS:
                keeper.keep({"constants": theta.detach(), **adam.state[theta]})
        return theta.detach()

    def _loss_by_source(
        self, theta: Float32[Tensor, " numbers"], layer: int, prompts: Int[Tensor, " n"], *, descend: bool = False
    ) -> Float[Tensor, " sources"]:
        """The mean loss over these prompts with each source of a layer ablated; or its gradient, added to theta's."""
        alone, found = self.alone, list[Tensor]()
        for rows in Rows.all_of(layer, alone.model.graph.n_heads, prompts).split(self._fit):
            logits = alone.logits(rows, self.constants(theta))
            where = rows.prompts
            loss = get_metric("kl").function(
                logits, alone.batch.correct[where], alone.batch.wrong[where], alone.clean.logits[where]
            )
            if descend:
                (loss.sum() / len(prompts)).backward()
            found.append(loss.detach())
            self.done += len(where)
            if self.progress is not None:
                self.progress(Progress(min(self.done, self._total), self._total, stage=STAGE, unit="runs"))
        return torch.cat(found).view(-1, len(prompts)).mean(1)

    def _prompts(self, step: int) -> Int[Tensor, " n"]:
        """The prompts of a step: all are taken once, in an order of their own, before any is taken again."""
        n, size = self.alone.batch.n, self._n_prompts
        start = step * size
        places = range(start, start + size)
        orders = {epoch: self._order(epoch) for epoch in {place // n for place in places}}
        chosen = [orders[place // n][place % n] for place in places]
        return torch.tensor(chosen, device=self._sizes.device)

    def _order(self, epoch: int) -> Sequence[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(self.alone.batch.n, generator=generator).tolist()

    @cached_property
    def _mean(self) -> NodeOutputs:
        return mean_constants(self.alone.model, self.alone.batch)

    @cached_property
    def _sizes(self) -> Int[Tensor, " src"]:
        return torch.tensor(sizes(self._mean), device=self._mean.input.device)

    @cached_property
    def _deviations(self) -> Float32[Tensor, " src"]:
        """Each source's standard deviation over tokens of the clean prompts, the mean over its dimensions."""
        real, outputs = self.alone.batch.attention.flatten(), self.alone.clean.outputs

        def deviation(x: Tensor) -> Tensor:  # [..., batch pos width] to [...]
            return x.float().flatten(-3, -2)[..., real, :].var(-2, correction=0).mean(-1).sqrt()

        found = [deviation(outputs.input)[None]]
        for z, mlp in zip(outputs.z, outputs.mlp, strict=True):
            found += [deviation(z), deviation(mlp)[None]]
        return torch.cat(found)

    @property
    def _all_layers(self) -> range:
        return range(INPUT, self.alone.model.graph.n_layers)

    @property
    def _n_sources(self) -> int:
        return self.alone.model.graph.n_src

    @property
    def _n_prompts(self) -> int:
        return min(self.alone.batch.n, PROMPTS, max(1, RUNS // (STEPS * self._n_sources)))

    @property
    def _total(self) -> int:
        """Runs in which a source is ablated: those of the steps, and two of each source and prompt at the end."""
        return self._n_sources * (STEPS * self._n_prompts + 2 * self.alone.batch.n)

    @cached_property
    def _fit(self) -> int:
        return rows_that_fit(self.alone.model, self.alone.batch.n_pos, self.memory)


def _load(keeper: Keeper | None, theta: Tensor, adam: torch.optim.Adam) -> int:
    """Go to the state that was kept, if there is one of this training; how many steps it has taken."""
    kept = None if keeper is None else keeper.load()
    if kept is None or "constants" not in kept or kept["constants"].shape != theta.shape:
        return 0
    with torch.no_grad():
        theta.copy_(kept["constants"])
    adam.state[theta] = {name: kept[name].to(theta.device) for name in ("exp_avg", "exp_avg_sq")}
    adam.state[theta]["step"] = kept["step"]
    return int(kept["step"])


ABLATION = Ablation("optimal", "a constant that harms predictions least, learned for each source", optimal, learns=True)
