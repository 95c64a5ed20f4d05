"""The card of one feature: when it fires, what it does, and a rule with its test."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from acdc.features.reading.excerpts import excerpts
from acdc.features.reading.found_rule import FoundRule, rule_of
from acdc.features.reading.record import FeatureReading, Tokens
from acdc.features.reading.slices import BEFORE
from acdc.features.reading.tally import EDGES
from acdc.features.reading.windows import Window

__all__ = ["FeatureCard", "Quantile", "card_of"]

N_QUANTILES = 5
N_LISTED = 10  # tokens that are listed


@dataclass(frozen=True)
class Quantile:
    """Windows of a feature's activations between two sizes."""

    low: float
    high: float
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class FeatureCard:
    """What is known of one feature.

    Attributes:
        density: The share of tokens on which it fires, `n_fires` of them.
        entropy: Of the tokens on which it fires, in bits.
        on, after: The tokens on which it fires, and those before them, with their shares.
        raises, lowers: The tokens whose logits it raises and lowers, relative to the mean token's.
        near: Features that write nearly the same, with their cosines.
        top: The windows in which it fires most strongly.
        quantiles: Random windows in which it fires, by how strongly, the strongest first.
        histogram: How many activations lie between two sizes, from the first bin that holds one to the last.
        rule: None where no explicit rule fits; `no_rule` says why.
    """

    index: int
    density: float
    n_fires: int
    act_max: float
    act_mean: float
    entropy: float
    on: Tokens
    after: Tokens
    raises: Tokens
    lowers: Tokens
    near: tuple[tuple[int, float], ...]
    top: tuple[Window, ...]
    quantiles: tuple[Quantile, ...]
    histogram: tuple[tuple[float, float, int], ...]
    rule: FoundRule | None
    no_rule: str = ""


def card_of(reading: FeatureReading, index: int) -> FeatureCard:
    """The card of a feature.

    Raises:
        RunError: There is no such feature.
    """
    reading.check_index(index)
    n = int(reading.n_fires[index])
    rule = rule_of(reading, index)
    return FeatureCard(
        index=index,
        density=n / reading.about.n_tokens,
        n_fires=n,
        act_max=float(reading.act_max[index]),
        act_mean=float(reading.total[index] / n) if n else float("nan"),
        entropy=reading.entropy(index),
        on=reading.fires_on(index)[:N_LISTED],
        after=reading.fires_on(index, before=1)[:N_LISTED],
        raises=reading.tokens_of(reading.raises, index),
        lowers=reading.tokens_of(reading.lowers, index),
        near=tuple(zip(reading.near.which[index].tolist(), reading.near.value[index].tolist(), strict=True)),
        top=excerpts(reading, reading.top.where[index], reading.top.acts[index]),
        quantiles=tuple(_quantiles(reading, index)),
        histogram=tuple(_histogram(reading.histogram[index])),
        rule=rule,
        no_rule="" if rule else "it never fires on this text" if not n else "no explicit rule fits half of its tokens",
    )


def _quantiles(reading: FeatureReading, index: int) -> list[Quantile]:
    """Of the random examples, by the size at their own token."""
    where, acts = reading.examples.where[index], reading.examples.acts[index]
    size = acts[:, BEFORE][where >= 0]
    order = np.argsort(-size, kind="stable")
    found = []
    for part in np.array_split(order, N_QUANTILES):
        if len(part):
            windows = excerpts(reading, where[part], acts[part])
            found.append(Quantile(float(size[part].min()), float(size[part].max()), windows))
    return found


def _histogram(counts: Int[np.ndarray, " bins"]) -> list[tuple[float, float, int]]:
    filled = np.flatnonzero(counts)
    if not len(filled):
        return []
    ends = [0.0, *EDGES.tolist(), float("inf")]
    return [(ends[i], ends[i + 1], int(counts[i])) for i in range(filled[0], filled[-1] + 1)]
