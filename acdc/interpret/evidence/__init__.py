"""What head roles are measured on: each kind is made once, when a role first asks for it, and shared by all that do."""

from dataclasses import dataclass
from functools import cached_property

from acdc.interpret.evidence.random_tokens import RandomTokens
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.progress import Tell, announce
from acdc.prompts.batch import PromptBatch

__all__ = ["Evidence"]


@dataclass(frozen=True)
class Evidence:
    """What is known of a model's heads.

    Attributes:
        batch: A task's prompts, for roles that a task gives to heads.
        seed: Of whatever is drawn. Scores and tests of another seed, and of other prompts, are held out.
        tell: Is told what is being done.
    """

    model: PatchableModel
    batch: PromptBatch | None = None
    seed: int = SEED
    tell: Tell | None = None

    @cached_property
    def random_tokens(self) -> RandomTokens:
        """Attention on random tokens that come twice."""
        announce(self.tell, "random tokens")
        return RandomTokens.measure(self.model, self.seed)
