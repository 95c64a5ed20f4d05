"""A finished run in words: a title, and its facts by name."""

from collections.abc import Mapping
from typing import Any

from acdc.circuits.circuit import Circuit, model_words
from acdc.circuits.ranking import strongest_nodes
from acdc.circuits.score_kinds import words_of
from acdc.discovery import METHODS
from acdc.errors import counted, printable
from acdc.evaluation.held_out import prompts_text
from acdc.evaluation.meaning import shown_ratio
from acdc.options.defaults import DIRECTION, POSITIONS

__all__ = ["facts", "title"]

MEASURED = {  # what our methods measure on the way, in words; other methods' names are shown as they are
    "whole_effect": "removing every edge raises the loss by {}",
    "edges_gone_through": "{} edges of the ranking were gone through to reach this size",
    "faithfulness": "this size keeps a share of {} of the metric's change",
    "sign_consistent_edges": "{} edges have the same sign in nearly all resamples",
    "completeness_error": "scores add up to the exact effect within {}",
    "relative_completeness_error": "which is {} of that effect",
    "worst_component": "the worst is {}",
    "restored_by_others": "{} of the metric comes back when all other edges carry the clean run's activations",
    "worst_cut": "the worst cut is behind {}",
    "steps_taken": "{} runs between the inputs",
}
COUNTED = {
    "candidates": "candidate",
    "forward_passes": "forward pass",
    "backward_passes": "backward pass",
    "attention_passes": "attention-only pass",
}
WORLDS = ("model", "circuit", "corrupted")


def title(record: Mapping[str, Any]) -> str:
    """What was looked for, in which model, and how."""
    arguments = record["arguments"]
    settings = [*_options(record), str(arguments["metric"]), f"ablation {arguments['ablation']}"]
    settings += [] if arguments.get("direction", DIRECTION) == DIRECTION else [str(arguments["direction"])]
    positions = arguments.get("positions", POSITIONS)
    settings += [] if positions == POSITIONS else [f"positions {positions}"]
    settings.append(counted(arguments["n"], "prompt"))
    model = model_words(str(arguments["model"]))
    return printable(f"{arguments['task_name']} on {model}, by {arguments['method']} ({', '.join(settings)})", 400)


def facts(circuit: Circuit, metrics: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, str]:
    """What the circuit does, what it cost, and what holds of it, by name."""
    kl, name = metrics["kl"], metrics["metric"]
    size = f"{metrics['n_edges']:,} of {metrics['n_edges_of_model']:,} kept"
    found = {
        "edges": f"{size}, {counted(metrics['n_nodes'], 'node')}",
        "KL to the full model": f"{_number(kl['circuit'])} (every edge removed: {_number(kl['corrupted'])})",
        "accuracy": _means(metrics["accuracy"], WORLDS),
        "top-1 accuracy": _means(metrics["top1_accuracy"], WORLDS),
        "p(correct)": _means(metrics["p_correct"], WORLDS),
    }
    if name != "kl":
        found[name] = ", ".join(f"{world} {_number(metrics[name][world])}" for world in WORLDS)
    ratio = shown_ratio(metrics["faithfulness"], metrics["no_meaning"])
    found["faithfulness"] = f"{ratio} by {name} (1: full model, 0: every edge removed)"
    found["held out"] = _held_out(metrics.get("held_out"))
    found["time"] = _time(record)
    guarantees = [f"{_words(name)}: {'yes' if holds else 'no'}" for name, holds in record.get("claims", {}).items()]
    evidence = record.get("evidence", {}).items()  # curves are too long for a line
    measured = [_measured(name, value) for name, value in evidence if not isinstance(value, list)]
    named = {"guarantees": ", ".join(guarantees), "search": ", ".join(measured), "strongest": _strongest(circuit)}
    return found | {name: text for name, text in named.items() if text}


def _options(record: Mapping[str, Any]) -> list[str]:
    """The method's threshold, the options that aren't its defaults, and in brackets what a search made of them."""
    arguments, resolved = record["arguments"], record.get("resolved", {})
    method, told = METHODS.get(arguments["method"]), []
    for name, given in {**resolved, **arguments["options"]}.items():
        used, option = resolved.get(name, given), None if method is None else method.options.get(name)
        is_default = used is None or (option is not None and used == option.default)
        if not is_default or (method is not None and name == method.threshold):
            words = f"{_words(name)} {_shown(used if given is None else given)}"
            told.append(words if given in (None, used) else f"{words} ({_shown(used)})")
    return told


def _strongest(circuit: Circuit, n: int = 6) -> str:
    """The heads and MLPs whose kept outgoing edges have the largest scores together; by their number, if none has."""
    mask, scores = circuit.mask, circuit.scores
    by = f"{words_of(circuit.score_kind).label} of their outgoing edges, summed"
    if scores is None or not scores[mask].nan_to_num().any():
        scores, by = mask.double(), "number of kept edges"
    names = strongest_nodes(circuit.graph, mask, scores, n)
    return f"{', '.join(names)} (by {by})" if names else ""


def _held_out(metrics: Mapping[str, Any] | None) -> str:
    """The same on prompts that the search did not see."""
    if metrics is None:
        return "not measured"
    n, seen = metrics["n_prompts"], metrics["n_seen"]
    ratio = shown_ratio(metrics["faithfulness"], metrics["no_meaning"], why=False)
    accuracy = _means(metrics["accuracy"], ("model", "circuit"))
    numbers = f"KL {_number(metrics['kl']['circuit'])}, accuracy {accuracy}, faithfulness {ratio}"
    return f"{'none: ' if seen == n else ''}{numbers} ({prompts_text(n, seen, 'other')})"


def _time(record: Mapping[str, Any]) -> str:
    cost, seconds = record["cost"], record["seconds"]
    work = [counted(cost[key], thing) for key, thing in COUNTED.items() if cost.get(key)]
    resumed = ["continued from an interrupted run whose seconds aren't counted"] if record.get("resumed") else []
    return ", ".join([f"{seconds['total']:.1f} s (search {seconds['search']:.1f} s)", *work, *resumed])


def _measured(name: str, value: object) -> str:
    return MEASURED.get(name, f"{_words(name)} {{}}").format(_shown(value))


def _means(means: Mapping[str, float | None], worlds: tuple[str, ...]) -> str:
    return ", ".join(f"{world} {_number(means[world], '.2f')}" for world in worlds)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: object) -> str:
    """A word, a count or a measured number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _number(value) if value is None or isinstance(value, float) else str(value)


def _number(value: float | None, style: str = ".3g") -> str:
    return "undefined" if value is None else format(value, style)
