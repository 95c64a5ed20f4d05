"""What is to be trained, and how: the settings of one dictionary."""

from dataclasses import dataclass

from acdc.errors import RunError
from acdc.features.training.variants import VARIANTS

__all__ = ["DEAD_AFTER", "Recipe", "learning_rate", "rate_at", "warmth_at"]

RATE, AT_WIDTH = 2e-4, 2**14  # falls with the square root of the width: Gao et al. 2024, section 3
DEAD_AFTER = 10_000_000  # tokens
WARM_UP, MOST_WARM_UP = 0.05, 1000  # share of the steps in which the learning rate rises, and how many at most
COOL_DOWN = 0.2  # share of the steps, at the end, in which it falls to nothing
PENALTY_WARM_UP = 0.2  # share of the steps in which JumpReLU's penalty rises


@dataclass(frozen=True)
class Recipe:
    """One dictionary's settings.

    Attributes:
        variant: A name of `VARIANTS`.
        width: Number of features.
        k: Features of a token: exactly, at most, or on average, as the variant has it.
        skip: Whether a transcoder has a linear path from what it reads to what it writes.
        rate: The learning rate at its highest; by the width if None.
        dead_after: Tokens after which a feature that was on nowhere is dead.

    Raises:
        RunError: Width or k isn't positive, or k is larger than the width, or a number isn't positive.
        UnknownNameError: There is no such variant.
    """

    variant: str = "topk"
    width: int = 1024
    k: int = 32
    skip: bool = False
    rate: float | None = None
    dead_after: int = DEAD_AFTER

    def __post_init__(self) -> None:
        VARIANTS.find(self.variant)
        for name in ("width", "k", "dead_after"):
            if (value := getattr(self, name)) < 1:
                raise RunError(f"{name} must be at least 1, not {value}")
        if self.k > self.width:
            raise RunError(f"k must be at most the width of the dictionary, {self.width} features, not {self.k}")
        if self.rate is not None and not 0 < self.rate < 1:
            raise RunError(f"the learning rate must lie between 0 and 1, not {self.rate}")


def learning_rate(recipe: Recipe) -> float:
    """The highest learning rate: `2e-4 / sqrt(width / 2^14)` where none is asked for."""
    return RATE / (recipe.width / AT_WIDTH) ** 0.5 if recipe.rate is None else recipe.rate


def rate_at(step: int, steps: int) -> float:
    """The share of the highest learning rate that a step has.

    >>> rate_at(0, 100), rate_at(50, 100), rate_at(90, 100)
    (0.2, 1.0, 0.5)
    """
    warm, cool = min(MOST_WARM_UP, max(1, int(WARM_UP * steps))), max(1, int(COOL_DOWN * steps))
    return min(1.0, (step + 1) / warm, (steps - step) / cool)


def warmth_at(step: int, steps: int) -> float:
    """The share of JumpReLU's penalty that a step has."""
    return min(1.0, (step + 1) / max(1, int(PENALTY_WARM_UP * steps)))
