"""Text as a page shows it: tokens with what can't be seen made visible, numbers, estimates."""

import math

from acdc.interpret.explanation import Estimate, TokenShare

__all__ = ["MINUS", "estimate", "label", "number", "share", "token", "token_shares", "visible"]

MINUS = "\N{MINUS SIGN}"
_NAMED = {"\n": "↵", "\t": "⇥", "\r": "␍", "\x7f": "␡"} | {chr(code): chr(0x2400 + code) for code in range(32)}
_NAMED |= {"\n": "↵", "\t": "⇥"}


def visible(text: str) -> str:
    """The text with what isn't printable named: control characters, and those that turn the direction of writing.

    >>> visible("a\\x00b\\u202ec\\ud800")
    'a␀b\\\\u202ec\\\\ud800'
    """
    return "".join(c if c.isprintable() else _NAMED.get(c) or c.encode("unicode_escape").decode() for c in text)


def token(text: str) -> str:
    """One token, its spaces as dots, since tokens that differ in a space alone are different tokens.

    >>> token(" Mary"), token("\\n"), token("")
    ('·Mary', '↵', '(empty)')
    """
    return visible(text).replace(" ", "·") or "(empty)"


def label(text: str) -> str:
    """A name of a row, a column or a place, which may be a token: then its space is shown.

    >>> label("first change"), label(" the")
    ('first change', '·the')
    """
    return token(text) if not text or text[0] == " " or not text.isprintable() else visible(text)


def number(value: float | None, *, sign: bool = False) -> str:
    """Three digits.

    >>> number(-0.12345) == f"{MINUS}0.123", number(0.5, sign=True), number(None)
    (True, '+0.5', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:{'+' if sign and value else ''}.3g}".replace("-", MINUS)


def share(value: float | None) -> str:
    """A probability or another share, in percent.

    >>> share(0.9512), share(0.00012), share(0.0)
    ('95.1%', '<0.1%', '0%')
    """
    if value is None:
        return ""
    return "<0.1%" if 0 < value < 0.0005 else f"{100 * value:.3g}%"


def estimate(found: Estimate | None, *, sign: bool = False) -> str:
    """A mean, and its interval if there is one: `0.5 [0.4, 0.6]`; empty where it was not measured."""
    if found is None or found.value is None:
        return ""
    text = number(found.value, sign=sign)
    ends = (found.low, found.high)
    return text if None in ends else f"{text} [{', '.join(number(end, sign=sign) for end in ends)}]"


def token_shares(shares: list[TokenShare]) -> list[tuple[str, str]]:
    """Tokens with their numbers, as text."""
    return [(token(text), number(value)) for text, value in shares]
