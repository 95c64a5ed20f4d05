"""What the page of a feature circuit shows."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from acdc.circuits.influence import influence
from acdc.errors import counted
from acdc.evaluation.confidence import Interval
from acdc.evaluation.held_out import prompts_text
from acdc.features.circuits import FeatureCircuit, FeatureEvidence, NodeName
from acdc.features.reading import FeatureReading
from acdc.report.cards import Card
from acdc.report.feature_cards import MOST_READ, bare_card, with_reading
from acdc.report.graph import MOST_EDGES
from acdc.report.graph_page import GraphFindings
from acdc.report.opening import Fact, Opening
from acdc.report.text import number, share

__all__ = ["findings_of_circuit"]


def findings_of_circuit(
    circuit: FeatureCircuit,
    evidence: FeatureEvidence | None = None,
    readings: Mapping[str, FeatureReading] | None = None,
) -> GraphFindings:
    """A feature circuit's page.

    Args:
        evidence: What it does on held-out prompts.
        readings: What is known of the features, by the site that their dictionary writes.
    """
    graph = circuit.graph(most=MOST_EDGES)
    reaching, known = influence(graph), readings or {}
    return GraphFindings(
        graph,
        reaching,
        circuit.spans,
        _opening(circuit, evidence, known),
        tuple(_cards(circuit, reaching.nodes, known)),
        len(circuit.edges),
        effect="effect",
        supernodes=circuit.supernodes,
        alike=circuit.alike,
        document=("feature_circuit.json", circuit.to_dict()) if len(circuit.edges) <= MOST_EDGES else None,
    )


def _cards(
    circuit: FeatureCircuit, reaching: Mapping[str, float], readings: Mapping[str, FeatureReading]
) -> Iterator[Card]:
    """Of each node, the strongest first, which are those that are read."""
    of_site = {record.writes: record.name for record in circuit.dictionaries}
    for rank, (node, name) in enumerate(zip(circuit.nodes, circuit.names, strict=True)):
        site = str(name.site)
        facts = (
            (
                "effect",
                number(node.effect, sign=True),
                f"estimated rise of the loss when it alone is ablated ({circuit.metric})",
            ),
            ("influence", share(reaching.get(node.name)), "of what the logits read comes through it, by the edges"),
        )
        card = bare_card(node.name, node.name, _kind(name), _sentence(name, of_site.get(site, "")), facts)
        reading = readings.get(site)
        if reading is not None and name.index is not None and rank < MOST_READ:
            card = with_reading(card, reading, name.index)
        label = circuit.labels.get(node.name)
        yield card if label in (None, card.label) else replace(card, label=label, sentence=_called(card, label))


def _called(card: Card, label: str) -> str:
    return f"{card.sentence} Its label: {label}."


def _kind(name: NodeName) -> str:
    return "error" if name.index is None else "feature"


def _sentence(name: NodeName, dictionary: str) -> str:
    where = f" at {name.site}" + (f", at the tokens of {name.span}" if name.span else "")
    if name.index is None:
        return f"The error of {dictionary}{where}: what it doesn't reconstruct."
    return f"Feature {name.index} of {dictionary}{where}."


def _opening(
    circuit: FeatureCircuit, evidence: FeatureEvidence | None, readings: Mapping[str, FeatureReading]
) -> Opening:
    facts = [
        Fact("nodes", f"{len(circuit.nodes):,}", f"of {circuit.n_candidates:,} that have any effect"),
        Fact("edges", f"{len(circuit.edges):,}", f"between the {circuit.n_joined:,} strongest nodes"),
    ]
    errors = circuit.told.get("error_share")
    if errors is not None:
        facts.append(Fact("errors", share(errors), "of the summed sizes of all effects"))
    if evidence is not None:
        on = prompts_text(evidence.n_prompts, evidence.n_seen)
        facts.append(Fact("faithfulness", _interval(evidence.faithfulness), f"by {evidence.metric}, on {on}"))
        facts.append(Fact("of the complement", _interval(evidence.of_complement), "all nodes but the circuit's"))
    return Opening(
        f"Which features does {circuit.model} need for {circuit.task}, and which makes which?",
        _answer(circuit),
        tuple(facts),
        (),
        tuple(_uncertain(circuit, evidence, readings)),
    )


def _answer(circuit: FeatureCircuit) -> str:
    n = sum(name.index is not None for name in circuit.names)
    sites = ", ".join(record.writes for record in circuit.dictionaries)
    errors = len(circuit.nodes) - n
    return f"{counted(n, 'feature')}" + (f" and {counted(errors, 'error')}" if errors else "") + f" at {sites}."


def _interval(found: Interval) -> str:
    if found.no_meaning is not None or found.value is None:
        return "no meaning"
    ends = "" if found.low is None else f" [{number(found.low)}, {number(found.high)}]"
    return number(found.value) + ends


def _uncertain(
    circuit: FeatureCircuit, evidence: FeatureEvidence | None, readings: Mapping[str, FeatureReading]
) -> Iterator[str]:
    yield "Effects and edges' weights are estimates by integrated gradients, not measured effects."
    if evidence is None:
        yield "What the circuit keeps on prompts that the search did not see was not measured."
    else:
        yield from evidence.warnings
        if (why := evidence.faithfulness.no_meaning) is not None:
            yield f"Faithfulness can't be said: {why}."
    for record in circuit.dictionaries:
        if record.writes not in readings:
            yield f"What the features of {record.name} fire on was not read (acdc features {record.name} --model ...)."
    if readings and len(circuit.nodes) > MOST_READ:
        yield f"Of the {MOST_READ} strongest nodes alone the cards say what they fire on."
