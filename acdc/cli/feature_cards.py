"""A feature's card in the terminal: what it fires on by words, and windows of text with the tokens marked."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from acdc.cli.terminal import say

if TYPE_CHECKING:
    from rich.text import Text

    from acdc.features.reading import FeatureCard, FeatureReading, Window

__all__ = ["tell_card"]

STRONG = 0.5  # share of a window's largest activation from which on a token is marked with « »
BAR = 30  # letters of the longest bar
DEEP = (11, 110, 95)  # colour of the largest activation; lighter towards white


def tell_card(reading: "FeatureReading", card: "FeatureCard", examples: int) -> None:
    """Print a card, with so many windows of each kind."""
    about = reading.about
    say(f"feature {card.index} of {about.dictionary} ({about.site} of {about.model}, read on {about.corpus})")
    say(
        f"  fires on {card.density:.3%} of {about.n_tokens:,} tokens ({card.n_fires:,}); largest {card.act_max:.3g}"
        + (f", mean {card.act_mean:.3g}; entropy of its tokens {card.entropy:.1f} bits" if card.n_fires else "")
    )
    for line in _rule(card):
        say(f"  {line}")
    for name, pairs in (("fires on", card.on), ("fires after", card.after)):
        _list(name, (f"{text!r} {share:.0%}" for text, share in pairs))
    for name, pairs in (("raises", card.raises), ("lowers", card.lowers)):
        _list(name, (f"{text!r} {value:+.2g}" for text, value in pairs))
    _list("writes nearly the same as", (f"{index} ({cosine:.2f})" for index, cosine in card.near))
    if not card.n_fires:
        return
    most = max(n for _, _, n in card.histogram)
    say("  activations:")
    for low, high, n in card.histogram:
        say(f"    {low:8.3g} to {high:<8.3g} {n:>8,}  {'█' * -(-BAR * n // most)}")
    say("  strongest:")
    _show(card.top[:examples], card.act_max)
    for part in card.quantiles:
        say(f"  random, {part.low:.3g} to {part.high:.3g}:")
        _show(part.windows[: max(examples // 2, min(examples, 1))], card.act_max)


def _rule(card: "FeatureCard") -> list[str]:
    from acdc.report.feature_page import accuracy, detection, verdict_of

    if card.rule is None:
        return [f"no rule: {card.no_rule}"]
    test, fit = card.rule.test, card.rule.fit
    return [
        f"rule: {card.rule.text}",
        f"  {verdict_of(test)} on other windows: {detection(test)}, "
        f"fuzzing {accuracy(test.fuzzing)} (balanced accuracy, chance 0.5)" + (f"; {test.why}" if test.why else ""),
        f"  it says {fit.recall:.0%} of the feature's tokens; about {fit.precision:.0%} of the tokens that it says are "
        "the feature's",
    ]


def _list(name: str, words: Iterable[str]) -> None:
    if line := ", ".join(words):
        say(f"  {name}: {line}")


def _show(windows: "tuple[Window, ...]", largest: float) -> None:
    from rich.console import Console

    console = Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())
    for window in windows:
        console.print(_marked(window, largest))


def _marked(window: "Window", largest: float) -> "Text":
    """The window in a line, its activation before it; coloured where the terminal can."""
    from rich.text import Text

    from acdc.report.text import visible

    most = max(window.activations)
    line = Text(f"    {most:8.3g}  ")
    for text, value in zip(window.tokens, window.activations, strict=True):
        word = visible(text)
        word = f"«{word}»" if value > 0 and value >= STRONG * most else word
        share = value / largest if largest else 0.0
        red, green, blue = (round(255 + share * (deep - 255)) for deep in DEEP)
        style = f"{'black' if share < 0.6 else 'white'} on rgb({red},{green},{blue})" if value > 0 else ""
        line.append(word, style=style)
    return line
