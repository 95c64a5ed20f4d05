"""What a metric is: a pure function of the logits at the target position, its sign, and what it reads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Answers", "Logits", "Metric", "Values"]

Logits = Float[Tensor, "rows vocab"]
Answers = Int[Tensor, "rows _n_answers"]  # token ids, filled up with -1
Values = Float[Tensor, " rows"]
Number = TypeVar("Number", float, Tensor)


@dataclass(frozen=True)
class Metric:
    """A measure of a prompt's target logits.

    Attributes:
        function: `(logits, correct, wrong, reference)` to one value a row; `reference` is the full model's logits.
        higher_is_better: Whether a larger value means a better circuit.
        answers_only: It reads no other logits than those of the answers, so only these need to be computed.
        needs_wrong: It is defined only for tasks that list wrong answers.
        flat_at_clean: Its gradient is zero where the circuit is the full model.
        whole_answers: It is defined token by token where answers have several tokens, and sums over them.
        single_tokens: It says something of answers of one token that no other metric says.
        against: For a metric that reads the reference and no answers: the same function of the logits alone, with what
            depends on the reference computed once.
    """

    name: str
    summary: str
    function: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    higher_is_better: bool
    answers_only: bool = False
    needs_wrong: bool = False
    flat_at_clean: bool = False
    whole_answers: bool = False
    single_tokens: bool = True
    against: Callable[[Tensor], Callable[[Tensor], Tensor]] | None = None

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if self.higher_is_better else -1

    def loss(self, value: Number) -> Number:
        """What discovery minimises: the value where lower is better, minus the value where higher is."""
        return -self.sign * value
