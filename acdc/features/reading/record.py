"""What was read of a dictionary's features on a text: all that a list, a search and a card need, without the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from acdc.errors import RunError
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary
from acdc.features.reading.token_shares import TokenShares
from acdc.features.reading.weights import Ranked

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["About", "Examples", "FeatureReading"]

Tokens = tuple[tuple[str, float], ...]  # tokens as they read, with their shares or logits


@dataclass(frozen=True)
class About:
    """What was read, and on what.

    Attributes:
        dictionary: Its name; `dictionary_sha256` says what it is, whatever it is called.
        site: What it reads.
        corpus: The text's name; `corpus_sha256` is that of its windows.
        n_tokens: How many tokens were counted: the first `skip` of each window are not.
    """

    dictionary: str
    dictionary_sha256: str
    site: str
    model: str
    corpus: str
    corpus_sha256: str
    n_windows: int
    n_tokens: int
    skip: int
    seed: int
    made_with: str


@dataclass(frozen=True, eq=False)
class Examples:
    """Tokens on which features fire, and what they do around them.

    Attributes:
        where: Which tokens of the text, `window * width + column`; -1 where there are no more.
        acts: The activations from 20 tokens before to 11 after.
    """

    where: Int[np.ndarray, "n k"]
    acts: Float[np.ndarray, "n k slice"]


@dataclass(frozen=True, eq=False)
class FeatureReading:
    """Features as they were read.

    Attributes:
        ids: The text, a window a row; -1 at padding.
        histogram: How many activations lie in each bin of `acdc.features.reading.EDGES`.
        total: Each feature's activations summed.
        top: The windows in which it fires most strongly, by their strongest token.
        examples: Random windows in which it fires, by a random one of the tokens on which it does.
        fired: Random tokens on which it fires, `[n k]`; -1 where there are no more.
        probes: Random tokens, one a window; `active` says whether a feature fires around each.
        raises, lowers: The tokens whose logits it raises and lowers most; none where it writes past the residual
            stream.
        near: Features that write nearly the same, by cosine.
        names: How the tokens read, by their numbers: those of the text and of the logits.
    """

    about: About
    ids: Int[np.ndarray, "window width"]
    histogram: Int[np.ndarray, "n bins"]
    total: Float[np.ndarray, " n"]
    top: Examples
    examples: Examples
    fired: Int[np.ndarray, "n fired"]
    probes: Int[np.ndarray, " m"]
    active: Bool[np.ndarray, "m n"]
    raises: Ranked
    lowers: Ranked
    near: Ranked
    names: dict[int, str]

    @property
    def n_features(self) -> int:
        return len(self.total)

    @cached_property
    def n_fires(self) -> Int[np.ndarray, " n"]:
        """On how many tokens each feature fires."""
        return self.histogram.sum(1)

    @property
    def density(self) -> Float[np.ndarray, " n"]:
        """The share of tokens on which each feature fires."""
        return self.n_fires / self.about.n_tokens

    @cached_property
    def act_max(self) -> Float[np.ndarray, " n"]:
        """The largest activation of each feature; 0 of one that never fires."""
        return self.top.acts.max((1, 2), initial=0)

    @cached_property
    def counted(self) -> Bool[np.ndarray, "window width"]:
        """Which tokens count."""
        real = self.ids >= 0
        return real & (real.cumsum(1) > self.about.skip)

    @cached_property
    def seen(self) -> Seen:
        """The text as rules see it."""
        return Seen.whole(self.ids, Vocabulary(self.names))

    def check_index(self, index: int) -> None:
        """Raise `RunError` unless there is such a feature."""
        if not 0 <= index < self.n_features:
            raise RunError(
                f"feature {index} is out of range: {self.about.dictionary!r} has {self.n_features:,} features, 0 to "
                f"{self.n_features - 1}"
            )

    def fires_on(self, index: int, *, before: int = 0) -> Tokens:
        """The tokens on which a feature fires, or those before it (1), with their shares; of a sample of 200."""
        return tuple((self.names[token], share) for token, share in self._shares[before].most(index))

    def entropy(self, index: int) -> float:
        """Of the tokens on which a feature fires, in bits: 0 where it is always the same one. It is that of the sample,
        so it is too small where there are many; NaN of a feature that never fires."""
        return float(self._shares[0].entropy[index])

    @cached_property
    def _shares(self) -> tuple[TokenShares, TokenShares]:
        """Of the tokens on which features fire, and of those before them."""
        window, column = np.divmod(self.fired, self.ids.shape[1])
        sizes, there = (self.fired >= 0).sum(1), self.fired >= 0
        on, ahead = (
            TokenShares.of(np.where(there & (column >= before), self.ids[window, column - before], -1), sizes)
            for before in (0, 1)
        )
        return on, ahead

    def tokens_of(self, ranked: Ranked, index: int) -> Tokens:
        """Tokens with their logits, as text; those that aren't moved are left out."""
        pairs = zip(ranked.which[index].tolist(), ranked.value[index].tolist(), strict=True)
        return tuple((self.names[token], value) for token, value in pairs if value)

    def on_token(self, text: str, *, before: int = 0) -> list[int]:
        """The features that fire on a token, or after it (`before=1`): the largest share of it first.

        Raises:
            RunError: No token of the text reads so.
        """
        shares = self.share_of(text, before=before)
        return np.argsort(-shares, kind="stable")[: np.count_nonzero(shares)].tolist()

    def share_of(self, text: str, *, before: int = 0) -> Float[np.ndarray, " n"]:
        """How large a share a token is of those on which each feature fires, or of those before them (`before=1`).

        Raises:
            RunError: No token of the text reads so.
        """
        if text not in self._texts:
            near = f"; did you mean {' ' + text!r}?" if " " + text in self._texts else ""
            raise RunError(f"no token of {self.about.corpus!r} is {text!r}{near}")
        return self._shares[before].of_tokens(np.array([i for i, name in self.names.items() if name == text]))

    @cached_property
    def _texts(self) -> frozenset[str]:
        return frozenset(self.names[token] for token in np.unique(self.ids[self.ids >= 0]).tolist())

    def frame(self, indices: Sequence[int] | None = None) -> "pd.DataFrame":
        """One row a feature: `feature`, `density`, `fires` (on how many tokens), `act_max`, `act_mean` (where it
        fires), `entropy` (bits, of the tokens on which it fires), `token` (the most frequent of them) and its
        `token_share`, `before` (the most frequent token before them), `before_share`, and `raises` (the token whose
        logit it raises most)."""
        import pandas as pd

        indices = range(self.n_features) if indices is None else indices
        return pd.DataFrame([self._row(i) for i in indices])

    def _row(self, index: int) -> dict[str, object]:
        n = int(self.n_fires[index])
        (on, on_share), (after, after_share) = (self._first(index, before) for before in (0, 1))
        raised = self.tokens_of(self.raises, index)
        return {
            "feature": index,
            "density": n / self.about.n_tokens,
            "fires": n,
            "act_max": float(self.act_max[index]),
            "act_mean": float(self.total[index] / n) if n else float("nan"),
            "entropy": self.entropy(index),
            "token": on,
            "token_share": on_share,
            "before": after,
            "before_share": after_share,
            "raises": raised[0][0] if raised else "",
        }

    def _first(self, index: int, before: int) -> tuple[str, float]:
        found = self._shares[before].first(index)
        return ("", float("nan")) if found is None else (self.names[found[0]], found[1])
