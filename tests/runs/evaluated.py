"""What evaluations are tried with: random pairs, few of them; and the numbers of their reports."""

from acdc import PromptPair, Task
from acdc.evaluation import PARTS
from tests.configs import VOCAB

FEW = {"n": 6, "n_random": 4}
ASKED_FOR = [name for name in PARTS if name != "gates"]  # by default, with stability; gates are measured by name alone


class Random(Task):
    """Random pairs of one length."""

    name = "random"
    default_model = "gpt2"
    metric = "kl"

    def __init__(self, length: int = 7) -> None:
        self.length = length

    def pairs(self, tokenizer, n, rng):
        def pair() -> PromptPair:
            clean, corrupt = (rng.choices(range(VOCAB), k=self.length) for _ in range(2))
            correct, wrong = rng.sample(range(VOCAB), 2)
            return PromptPair(clean, corrupt, [correct], [wrong])

        return [pair() for _ in range(n)]


def numbers(report: dict) -> dict:
    """A report without what differs from run to run."""
    return {name: {k: v for k, v in part.items() if k != "seconds"} for name, part in report["parts"].items()}
