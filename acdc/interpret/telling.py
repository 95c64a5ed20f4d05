"""An explanation in words: question and answer in two sentences, what is certain and what isn't, and each node."""

from collections.abc import Iterator
from typing import Any

from acdc.circuits.circuit import Circuit, model_words
from acdc.errors import counted
from acdc.evaluation.meaning import shown_ratio
from acdc.evaluation.numbers import number
from acdc.interpret.explanation import Claim, Estimate, Explanation, NodeCard

__all__ = ["interval", "told"]

NAMED = 4  # nodes in the answer
SHOWN = 8  # names in a list
SPANS = 4  # spans in a list
INPUTS = {"q": "queries", "k": "keys", "v": "values", "": ""}
LONGEST = 160  # letters of a prompt
NOTHING = 0.01  # of what removing every edge does


def told(found: Explanation, circuit: Circuit, *, task: str, summary: str, model: str) -> Explanation:
    """The same with its words: question, answer, certain, uncertain, and a sentence for each node.

    Args:
        task, summary: The task's name, and what it is in a line.
    """
    span = found.extra.get("span")
    cards = [card.model_copy(update={"sentence": sentence(card, span)}) for card in found.nodes]
    found = found.model_copy(update={"nodes": cards})
    words = {
        "question": _question(found, task, summary, model_words(model)),
        "answer": _answer(found, circuit),
        "certain": list(_certain(found)),
        "uncertain": list(_uncertain(found)),
    }
    return found.model_copy(update=words)


def interval(found: Estimate | dict[str, Any]) -> str:
    """An estimate with its bounds.

    >>> interval(Estimate(value=0.913, low=0.88, high=0.94))
    '0.913 [0.88, 0.94]'
    """
    value, low, high = (
        (found.value, found.low, found.high)
        if isinstance(found, Estimate)
        else (found["value"], found["low"], found["high"])
    )
    bounds = "" if low is None or high is None else f" [{number(low)}, {number(high)}]"
    return f"{number(value)}{bounds}"


def sentence(card: NodeCard, span: float | None = None) -> str:
    """What a node is and does.

    Args:
        span: By how much the loss rises where every edge is removed; None where that isn't known.
    """
    if card.kind not in ("head", "mlp"):
        return {"input": "The embedded prompt.", "logits": "The answer is read here."}[card.kind]
    said = [_role_words(card), _at_spans(card), _looks(card), _matters(card, span), _writes(card)]
    text = "; ".join(part for part in said if part)
    return f"{text[0].upper()}{text[1:]}."


def _role_words(card: NodeCard) -> str:
    if held := [claim for claim in card.claims if claim.holds]:
        return f"{_listed([claim.role for claim in held])} (tested by intervention)"
    if open_ := [claim for claim in card.claims if claim.holds is None]:
        return f"looks like {_listed([claim.role for claim in open_])} (not tested)"
    if card.claims:
        return f"scores as {_listed([claim.role for claim in card.claims])}, but the test by intervention fails"
    if card.kind == "mlp":
        return "MLP"
    return "head without a known role" if card.role_scores else "head"


def _looks(card: NodeCard) -> str:
    if not card.attends:
        return ""
    return "from the end it looks at " + _listed([f"{name} ({share:.0%})" for name, share in card.attends[:3]])


def _at_spans(card: NodeCard) -> str:
    """Where the circuit's edges into it and out of it are."""
    if card.writes_at and card.reads_at == {"": card.writes_at}:
        return f"in the circuit it reads, and is read, at {_some(card.writes_at)}"
    alike: dict[str, list[str]] = {}
    for kind, spans in card.reads_at.items():
        alike.setdefault(_some(spans), []).append(INPUTS[kind])
    reads = [f"{_listed(kinds)} at {at}".strip() for at, kinds in alike.items()]
    said = [f"reads {_listed(reads)}"] if reads else []
    said += [f"is read at {_some(card.writes_at)}"] if card.writes_at else []
    return f"in the circuit it {', and '.join(said)}" if said else ""


def _some(spans: list[str]) -> str:
    more = len(spans) - SPANS
    return _listed(spans if more <= 1 else [*spans[:SPANS], f"{more} more"])


def _matters(card: NodeCard, span: float | None) -> str:
    if card.effect is None or card.effect.value is None:
        return ""
    share = card.effect.value / span if span else None
    if share is not None and abs(share) < NOTHING:
        return f"ablated alone, it changes next to nothing ({interval(card.effect)})"
    if card.effect.low is None:
        return f"ablated alone, it changes the loss by {interval(card.effect)}"
    if not _clear(card.effect):
        return f"ablated alone, it changes the loss by {interval(card.effect)}, which may be nothing"
    does = "raises" if card.effect.value > 0 else "lowers"
    part = "" if share is None else f", {abs(share):.0%} of what removing every edge adds to it"
    return f"ablated alone, it {does} the loss by {interval(_size(card.effect))}{part}"


def _writes(card: NodeCard) -> str:
    if card.direct is None or card.direct.value is None or not _clear(card.direct):
        return ""
    side = "towards" if card.direct.value > 0 else "against"
    return f"it writes {interval(_size(card.direct))} directly {side} the answer"


def _size(found: Estimate) -> Estimate:
    """What is below 0 turned round, its bounds too, where a word says the sign."""
    if found.value is None or found.value >= 0:
        return found
    low, high = (None if bound is None else -bound for bound in (found.high, found.low))
    return Estimate(value=-found.value, low=low, high=high)


def _clear(found: Estimate) -> bool:
    """Whether the whole interval lies on one side of 0."""
    return found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)


def _question(found: Explanation, task: str, summary: str, model: str) -> str:
    about = f"{task} ({summary})" if summary else task
    if not found.prompts:
        return f"How does {model} do {about}?"
    first = found.prompts[0]
    prompt = "".join(first.clean).strip()
    prompt = prompt if len(prompt) <= LONGEST else f"…{prompt[-LONGEST:]}"
    wrong = f" and not {first.wrong[0]!r}" if first.wrong else ""
    return f"How does {model} do {about}: how does it come to say {first.correct[0]!r}{wrong} after {prompt!r}?"


def _answer(found: Explanation, circuit: Circuit) -> str:
    n = f"{circuit.n_edges:,} of {circuit.graph.n_edges:,} edges"
    if not circuit.n_edges:
        return "By nothing: the circuit has no edge."
    first = f"By {n}, between {counted(len(circuit.nodes), 'node')}"
    if faithful := found.extra.get("faithfulness"):
        name, ratio = next(iter(faithful.items()))
        value = shown_ratio(ratio["value"], ratio["no_meaning"], why=False)
        bounds = "" if ratio["low"] is None else f" [{number(ratio['low'])}, {number(ratio['high'])}]"
        first += f", which keep {value}{bounds} of {name} on {found.extra['prompts']} (1: the model, 0: no edge)"
    return f"{first}. {_who(found)}"


def _who(found: Explanation) -> str:
    """The nodes that matter most, with what they are."""
    ranked = sorted(
        (card for card in found.nodes if card.effect is not None and card.effect.value is not None),
        key=lambda card: -abs(card.effect.value or 0.0) if card.effect else 0.0,
    )[:NAMED]
    if not ranked:
        return "Which of them matter was not measured."
    return f"Most depends on {_listed([_named(card) for card in ranked])}."


def _named(card: NodeCard) -> str:
    held = [claim.role for claim in card.claims if claim.holds]
    return f"{card.name} ({_listed(held)})" if held else card.name


def _certain(found: Explanation) -> Iterator[str]:
    for name, ratio in found.extra.get("faithfulness", {}).items():
        if ratio["no_meaning"] is None and ratio["low"] is not None:
            yield f"On {found.extra['prompts']} the circuit keeps {interval(ratio)} of {name}."
    measured = [card for card in found.nodes if card.effect is not None]
    if clear := [card for card in measured if card.effect is not None and _clear(card.effect)]:
        yield (
            f"{len(clear)} of {counted(len(measured), 'node')} that were ablated alone change the loss for certain "
            "(95% interval)."
        )
    if held := _tested(found, True):
        which = _listed([f"{name} is {claim.role}" for name, claim in held])
        yield f"Held under an intervention that the role predicts, on prompts that chose nothing: {which}."


def _uncertain(found: Explanation) -> Iterator[str]:
    for name, ratio in found.extra.get("faithfulness", {}).items():
        if ratio["no_meaning"] is not None:
            yield f"Faithfulness by {name} has no meaning: {ratio['no_meaning']}."
        elif ratio["under_covers"]:
            yield f"The interval of faithfulness by {name} rests on few prompts, and may be too narrow."
    if not found.held_out:
        yield "The prompts of this explanation aren't known to be held out: the search saw some of them, or may have."
    if failed := _tested(found, False):
        which = _listed([f"{name} scores as {claim.role}" for name, claim in failed])
        yield f"The test by intervention failed: {which}."
    if open_ := [(name, claim) for name, claim in _claims(found) if claim.holds is None]:
        roles = dict.fromkeys(claim.role for _, claim in open_)
        yield f"On a score alone, for no test of them is known or could tell, rest the roles {_listed(list(roles))}."
    nameless = [card.name for card in found.nodes if card.kind == "head" and card.role_scores and not card.claims]
    if nameless:
        some = [*nameless[:SHOWN], *([f"{len(nameless) - SHOWN} more"] if len(nameless) > SHOWN else [])]
        yield f"Without a role that is known here: {_listed(some)}."


def _claims(found: Explanation) -> list[tuple[str, Claim]]:
    return [(card.name, claim) for card in found.nodes for claim in card.claims]


def _tested(found: Explanation, holds: bool) -> list[tuple[str, Claim]]:
    return [(name, claim) for name, claim in _claims(found) if claim.holds is holds]


def _listed(words: list[str]) -> str:
    """With commas, and `and` before the last.

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
