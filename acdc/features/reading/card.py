"""The card of one feature: when it fires, what it does, and a rule with its test."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from acdc.features.reading.judging import FEWEST, LabelTest, Questions, try_label
from acdc.features.reading.record import FeatureReading, Tokens
from acdc.features.reading.rules import Fit, Rule, find_rule, fit_of, says
from acdc.features.reading.slices import BEFORE, around
from acdc.features.reading.tally import EDGES
from acdc.features.reading.windows import Detect, Label, Window

__all__ = ["FeatureCard", "FoundRule", "Quantile", "card_of", "judged", "questions_of", "rule_of"]

N_QUANTILES = 5
N_LISTED = 10  # tokens that are listed


@dataclass(frozen=True)
class FoundRule:
    """A rule that was found on one half of the examples.

    Attributes:
        text: It in words.
        fit: How well it fits the other half, over the whole text.
        test: How well it tells the other half's windows.
    """

    rule: Rule
    text: str
    fit: Fit
    test: LabelTest


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
        top=_windows(reading, reading.top.where[index], reading.top.acts[index]),
        quantiles=tuple(_quantiles(reading, index)),
        histogram=tuple(_histogram(reading.histogram[index])),
        rule=rule,
        no_rule="" if rule else "it never fires on this text" if not n else "no explicit rule fits half of its tokens",
    )


def rule_of(reading: FeatureReading, index: int) -> FoundRule | None:
    """The simplest rule that fits one half of a feature's examples, tested on the other half; None where none fits."""
    reading.check_index(index)
    finding, holding = _halves(reading, index)
    counts = (reading.ids, reading.counted, int(reading.n_fires[index]))
    found = find_rule(finding, *counts)
    if found is None:
        return None
    rule, fit = found
    fit = fit_of(rule, holding, *counts) if len(holding) else fit
    text = rule.text(reading.names)
    return FoundRule(rule, text, fit, try_label(text, partial(_by_rule, rule), questions_of(reading, index)))


def judged(reading: FeatureReading, index: int, label: str | Label, detect: Detect) -> LabelTest:
    """Test a label of your own, or one that your own language model gives, with it as the judge.

    Args:
        label: The label, or a function that is shown examples with activations, none of which are asked about later.
        detect: Called with the label and windows. Where tokens are marked it says whether they are the ones on which
            the feature fires, else whether it fires anywhere in the window.

    Raises:
        RunError: There is no such feature, or `detect` doesn't answer each window.

    >>> judged(reading, 123, my_model.label, my_model.detect)  # doctest: +SKIP
    """
    reading.check_index(index)
    if not isinstance(label, str):
        where, acts = (x[index][::2] for x in (reading.examples.where, reading.examples.acts))
        label = str(label(_windows(reading, where, acts)))
    return try_label(label, detect, questions_of(reading, index))


def questions_of(reading: FeatureReading, index: int) -> Questions:
    """What a label of this feature is asked: of the half of the examples on which no rule is looked for."""
    reading.check_index(index)
    where, acts = (x[index][1::2] for x in (reading.examples.where, reading.examples.acts))
    fires = _windows(reading, where, acts)
    silent = reading.probes[~reading.active[:, index]][1::2][: max(FEWEST, len(fires))]
    draw, right, wrong = np.random.default_rng(index), list[Window](), list[Window]()
    for window in fires:
        active = np.array(window.activations) > 0
        others = np.flatnonzero(np.array(window.counted) & ~active)
        right.append(_asked(window, active))
        if len(others) >= active.sum():
            wrong.append(_asked(window, np.isin(np.arange(len(active)), draw.permutation(others)[: active.sum()])))
    bare = (_asked(window, np.zeros(0, dtype=bool)) for window in fires)
    quiet = (_asked(window, np.zeros(0, dtype=bool)) for window in _windows(reading, silent))
    return Questions(tuple(bare), tuple(quiet), tuple(right), tuple(wrong))


def _asked(window: Window, marked: np.ndarray) -> Window:
    """The window without what is asked."""
    return Window(window.tokens, window.ids, window.counted, marked=tuple(marked.tolist()))


def _by_rule(rule: Rule, label: str, windows: Sequence[Window]) -> list[bool]:
    """A rule as the judge: yes where it says one of the tokens; where some are marked, at least half of these."""
    del label  # the rule is what it says
    answers = []
    for window in windows:
        said = says(rule, np.array([window.ids]))[0] & np.array(window.counted)
        marked = np.array(window.marked, dtype=bool)
        answers.append(bool(2 * said[marked].sum() >= marked.sum()) if len(marked) else bool(said.any()))
    return answers


def _halves(
    reading: FeatureReading, index: int
) -> tuple[Int[np.ndarray, "example pos"], Int[np.ndarray, "held_out pos"]]:
    """Slices to find a rule on, and those that are held out: of no window that the first are of."""
    where, width = reading.examples.where[index], reading.ids.shape[1]
    finding, holding = (half[half >= 0] for half in (where[::2], where[1::2]))
    fired = reading.fired[index][reading.fired[index] >= 0]
    more = fired[~np.isin(fired // width, holding // width)]
    return around(reading.ids, np.union1d(finding, more)), around(reading.ids, holding)


def _windows(
    reading: FeatureReading, where: Int[np.ndarray, " k"], acts: Float[np.ndarray, "k pos"] | None = None
) -> tuple[Window, ...]:
    """Slices as text, without what is outside of the text's windows."""
    slices, counts = around(reading.ids, where), around(reading.counted.astype(int), where)
    found = []
    for i in np.flatnonzero(where >= 0):
        inside = slices[i] >= 0
        ids = tuple(slices[i][inside].tolist())
        tokens = tuple(reading.names[token] for token in ids)
        values = () if acts is None else tuple(acts[i][inside].tolist())
        found.append(Window(tokens, ids, tuple((counts[i][inside] > 0).tolist()), values))
    return tuple(found)


def _quantiles(reading: FeatureReading, index: int) -> list[Quantile]:
    """Of the random examples, by the size at their own token."""
    where, acts = reading.examples.where[index], reading.examples.acts[index]
    size = acts[:, BEFORE][where >= 0]
    order = np.argsort(-size, kind="stable")
    found = []
    for part in np.array_split(order, N_QUANTILES):
        if len(part):
            windows = _windows(reading, where[part], acts[part])
            found.append(Quantile(float(size[part].min()), float(size[part].max()), windows))
    return found


def _histogram(counts: Int[np.ndarray, " bins"]) -> list[tuple[float, float, int]]:
    filled = np.flatnonzero(counts)
    if not len(filled):
        return []
    ends = [0.0, *EDGES.tolist(), float("inf")]
    return [(ends[i], ends[i + 1], int(counts[i])) for i in range(filled[0], filled[-1] + 1)]
