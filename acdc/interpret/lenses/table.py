"""A lens's reading as tables, and as a section of an explanation."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jaxtyping import Float, Int
from torch import Tensor

from acdc.interpret import explanation
from acdc.prompts.batch import PromptBatch
from acdc.prompts.tokens import pieces

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LensReading"]


@dataclass(frozen=True)
class LensReading:
    """What each residual stream says at each position; at padding NaN, or 0 in whole numbers.

    Attributes:
        kind: `logit lens` or `tuned lens`.
        batch: The prompts; `side` says which of the two ran.
        rows: The residual streams, from `resid_pre 0`, the embedding, to `resid_post` of the last block.
        answers: The tokens that rank and probability are of, filled up with -1.
        tokens: The most probable tokens and their `probabilities`. The positions are the batch's columns, or one column
            alone, the targets.
        rank: Of the best answer, from 1; tokens that tie with it stand before it.
        probability: All answers' together.
        kl: `KL(model's own output || lens's)` at that position, in nats; `entropy` of the lens's, in nats.
    """

    kind: str
    batch: PromptBatch
    side: str
    rows: tuple[str, ...]
    answers: Int[Tensor, "batch n"]
    tokens: Int[Tensor, "row batch pos top"]
    probabilities: Float[Tensor, "row batch pos top"]
    rank: Int[Tensor, "row batch pos"]
    probability: Float[Tensor, "row batch pos"]
    kl: Float[Tensor, "row batch pos"]
    entropy: Float[Tensor, "row batch pos"]
    tokenizer: Any = field(repr=False, compare=False)

    @property
    def by_position(self) -> bool:
        """Whether it is of all positions, not of the targets alone."""
        return self.rank.shape[2] == self.batch.n_pos and self.batch.n_pos > 1

    def columns(self, prompt: int) -> list[int]:
        """The columns of the reading in which a prompt has tokens."""
        return (
            list(range(self.batch.n_pos - int(self.batch.lengths[prompt]), self.batch.n_pos))
            if self.by_position
            else [0]
        )

    def labels(self, prompt: int) -> list[str]:
        """The tokens of a prompt that `columns` stand for, as text."""
        ids = (self.batch.clean if self.side == "clean" else self.batch.corrupt)[prompt]
        return pieces(self.tokenizer, [int(ids[c if self.by_position else -1]) for c in self.columns(prompt)])

    def decided(self) -> tuple[str | None, ...]:
        """For each prompt the first row from which on an answer is the most probable token at the target, up to the
        last row; None where the model's own output is another."""
        first = (self.rank[:, :, -1] != 1).flip(0).cumsum(0).eq(0).sum(0).tolist()
        return tuple(self.rows[len(self.rows) - n] if n else None for n in first)

    def frame(self) -> "pd.DataFrame":
        """One row a residual stream, prompt and position: `stream`, `prompt`, `position`, `token` (what stands there),
        `top` (the most probable token), `p`, `rank`, `probability`, `kl`, `entropy`."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"stream": row, "prompt": prompt, "position": position, "token": label}
                | self._numbers(i, prompt, column)
                for i, row in enumerate(self.rows)
                for prompt in range(self.batch.n)
                for position, column, label in self._places(prompt)
            ]
        )

    def _places(self, prompt: int) -> list[tuple[int, int, str]]:
        columns = self.columns(prompt)
        start = int(self.batch.lengths[prompt]) - len(columns)
        return list(zip(range(start, start + len(columns)), columns, self.labels(prompt), strict=True))

    def _numbers(self, row: int, prompt: int, column: int) -> dict[str, Any]:
        at = (row, prompt, column)
        (token,) = pieces(self.tokenizer, [int(self.tokens[at][0])])
        named = {"rank": self.rank, "probability": self.probability, "kl": self.kl, "entropy": self.entropy}
        return {"top": token, "p": float(self.probabilities[at][0])} | {name: x[at].item() for name, x in named.items()}

    def section(self, prompt: int | None = None) -> explanation.Lens:
        """One prompt's reading for `explanation.json`; by None that of the targets, the mean over all prompts (of ranks
        the median)."""
        if prompt is None:
            means = [self.rank[:, :, -1].double().quantile(0.5, 1), *(x[:, :, -1].mean(1) for x in self._shares)]
            grids, columns, top = [x[:, None] for x in means], ["target"], []
        else:
            listed = self.columns(prompt)
            grids, columns = [x[:, prompt, listed] for x in (self.rank, *self._shares)], self.labels(prompt)
            top = [[self.top(row, prompt, column) for column in listed] for row in range(len(self.rows))]
        rank, probability, kl, entropy = ([[_number(x) for x in row] for row in grid.tolist()] for grid in grids)
        return explanation.Lens(
            kind=self.kind,
            prompt=prompt,
            rows=list(self.rows),
            columns=columns,
            top=top,
            rank=rank,
            probability=probability,
            kl=kl,
            entropy=entropy,
        )

    @property
    def _shares(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.probability, self.kl, self.entropy

    def top(self, row: int, prompt: int, column: int) -> list[explanation.TokenShare]:
        """The most probable tokens there, as text, and their probabilities."""
        texts = pieces(self.tokenizer, self.tokens[row, prompt, column].tolist())
        return list(zip(texts, self.probabilities[row, prompt, column].tolist(), strict=True))


def _number(value: float | int) -> float | None:
    return float(value) if math.isfinite(value) else None
