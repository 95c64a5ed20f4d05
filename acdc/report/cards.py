"""The card of each node: its sentence, its claims with their tests, and what it reads, writes and does."""

from collections.abc import Iterator
from dataclasses import dataclass

from acdc.interpret.explanation import Claim, Explanation, NodeCard
from acdc.report.listing import verdict
from acdc.report.text import estimate, label, number, share, token_shares
from acdc.report.words import Word

__all__ = ["Card", "ClaimView", "cards"]


@dataclass(frozen=True)
class ClaimView:
    """A role, how strongly it shows, and what became of its test."""

    role: str
    score: str
    verdict: str
    test: str


@dataclass(frozen=True)
class Card:
    """A node's card.

    Attributes:
        facts: Numbers by name, with what they are.
        lists: Tokens or labels with their numbers, by what they are.
        scores: The score of every role that was looked for, the largest first.
        title: What stands above it, by default its name, by which the graph finds it.
        label: What a feature fires on, where its rule did not fail its test; features of one label are one supernode.
        examples: Texts in which a feature fires, its tokens marked.
    """

    name: str
    kind: str
    sentence: str
    claims: tuple[ClaimView, ...]
    facts: tuple[tuple[str, str, str], ...]
    lists: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    scores: tuple[tuple[str, str], ...]
    has_patterns: bool
    title: str = ""
    label: str = ""
    examples: tuple[tuple[Word, ...], ...] = ()


def cards(told: Explanation) -> list[Card]:
    """A card for each node that the explanation speaks of."""
    return [
        Card(
            name=node.name,
            kind=node.kind,
            sentence=node.sentence,
            claims=tuple(_claim(claim) for claim in node.ranked_claims),
            facts=tuple(_facts(node)),
            lists=tuple((name, found) for name, found in _lists(node) if found),
            scores=tuple(_scores(node)),
            has_patterns=bool(node.patterns),
        )
        for node in told.nodes
    ]


def _claim(claim: Claim) -> ClaimView:
    score = number(claim.score)
    score += "" if claim.cut is None else f" (spoken of from {number(claim.cut)} on)"
    score += "" if claim.held_out is None else f", {number(claim.held_out)} held out"
    said = [claim.test, claim.predicted and f"Predicted: {claim.predicted}"]
    measured = estimate(claim.measured, sign=True)
    said.append(f"Measured: {measured}" if measured else "")
    sentences = (text if text.endswith((".", "!", "?")) else f"{text}." for text in said if text)
    return ClaimView(claim.role, score, verdict(claim.holds), " ".join(sentences))


def _facts(node: NodeCard) -> Iterator[tuple[str, str, str]]:
    if text := estimate(node.effect, sign=True):
        yield "effect", text, "rise of the loss when its output is ablated"
    if text := estimate(node.direct, sign=True):
        yield "direct effect", text, "what it writes towards the answers' logit difference itself"
    for kind, spans in node.reads_at.items():
        yield f"reads {kind}".strip(), ", ".join(map(label, spans)), "spans of the circuit's edges into it"
    if node.writes_at:
        yield "is read", ", ".join(map(label, node.writes_at)), "spans of the circuit's edges out of it"


def _lists(node: NodeCard) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    yield "attends to, from the target position", tuple((label(text), share(value)) for text, value in node.attends)
    yield "raises the logits of", tuple(token_shares(node.writes_up))
    yield "lowers the logits of", tuple(token_shares(node.writes_down))
    yield "responds most to", tuple(token_shares(node.reads))
    known = [(name, found) for name, found in node.spans.items() if found.value is not None]
    yield "effect by span, ablated there alone", tuple((label(name), estimate(x, sign=True)) for name, x in known)


def _scores(node: NodeCard) -> Iterator[tuple[str, str]]:
    known = {name: value for name, value in node.role_scores.items() if value is not None}
    for name in sorted(known, key=lambda name: -known[name]):
        yield name, number(known[name])
    for name in node.role_scores.keys() - known.keys():
        yield name, "not measured"
