"""What head roles are measured on: each kind is made once, when a role first asks for it, and shared by all that do."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.interpret.evidence.answers import Answers
from acdc.interpret.evidence.drawn import Drawn, draw
from acdc.interpret.evidence.needles import Needles
from acdc.interpret.evidence.random_tokens import RandomTokens
from acdc.interpret.evidence.sentences import Sentences
from acdc.interpret.evidence.value_circuits import ValueCircuits
from acdc.interpret.evidence.words import names
from acdc.interpret.knockout import repeated_log_probability
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.prompts.batch import PromptBatch

__all__ = ["Evidence"]


@dataclass(frozen=True)
class Evidence:
    """What is known of a model's heads.

    Attributes:
        batch: A task's prompts, for roles that a task gives to heads.
        seed: Of whatever is drawn. Scores and tests of another seed, and of other prompts, are held out.
    """

    model: PatchableModel
    batch: PromptBatch | None = None
    seed: int = SEED

    @cached_property
    def drawn(self) -> Drawn:
        """Random tokens that come twice.

        Raises:
            Unmeasured: The context or the vocabulary is too small.
        """
        return draw(self.model, self.seed)

    @cached_property
    def random_tokens(self) -> RandomTokens:
        """Attention on them."""
        return RandomTokens.measure(self.model, self.drawn)

    @cached_property
    def repeated_log_probability(self) -> Float[Tensor, " batch"]:
        """How well the model predicts their second half."""
        return repeated_log_probability(self.model, self.drawn)

    @cached_property
    def answers(self) -> Answers:
        """How the task's answers are read.

        Raises:
            Unmeasured: No task was given, or its answers don't stand in its prompts.
        """
        return Answers.of(self.model, self.batch)

    @cached_property
    def value_circuits(self) -> ValueCircuits:
        """What heads do to tokens by their weights."""
        return ValueCircuits(self.model)

    @cached_property
    def names_in_top(self) -> tuple[Float[Tensor, "layer head"], Float[Tensor, "layer head"]]:
        """Shares of first names that are among the highest and among the lowest logits, a head having read them.

        Raises:
            Unmeasured: The tokenizer has too few names.
        """
        return self.value_circuits.extremes(torch.tensor(names(self.model.tokenizer), device=self.model.device))

    @cached_property
    def needles(self) -> Needles:
        """Where heads look as the model repeats a needle in a haystack.

        Raises:
            Unmeasured: The model or its tokenizer can't do it.
        """
        return Needles.measure(self.model, self.seed)

    @cached_property
    def sentences(self) -> Sentences:
        """Where heads look in parsed sentences.

        Raises:
            Unmeasured: The tokenizer can't spell them.
        """
        return Sentences.measure(self.model, self.seed)
