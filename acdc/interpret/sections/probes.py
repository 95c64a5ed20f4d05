"""Where a label of the prompts is encoded, and whether the model uses it there."""

from acdc.interpret.draft import empty, number
from acdc.interpret.explanation import Explanation, ProbeTable
from acdc.interpret.probes import MOST_LAYERS, Probes, default_label, probe
from acdc.interpret.residuals import rows_of
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject
from acdc.patching.problem import Problem

__all__ = ["SECTION"]


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """Fitted on prompts as for discovery, tried on held-out ones."""
    own, n, seed = subject.problem, subject.settings.n_probed, subject.settings.seed
    train, test = subject.draw(n, seed, False), subject.draw(max(4, n // 2), seed, True)
    label = subject.settings.label or default_label(train, test, own.model.tokenizer)
    metric = own.objective.metric
    problem = Problem.make(own.model, test, metric=metric, seed=seed, memory=own.memory)
    found = probe(train, problem, label=label, seed=seed, step=subject.step)
    return empty(probes=[table_of(found)], notes=[f"probes: {note}" for note in found.notes])


def table_of(found: Probes) -> ProbeTable:
    """As `explanation.json` holds it."""

    def grid(name: str) -> list[list[float | None]]:
        return [[number(value) for value in row] for row in found.grid(name).tolist()]

    return ProbeTable(
        label=found.label,
        rows=list(found.rows),
        columns=list(found.columns),
        accuracy=grid("accuracy"),
        low=grid("low"),
        high=grid("high"),
        control=grid("control"),
        majority=found.majority,
        n_train=found.n_train,
        n_test=found.n_test,
        causal=grid("causal"),
        classes=list(found.classes),
    )


def cost(subject: Subject) -> float:
    """Both sets run once or twice, and what lies behind each cell once more."""
    share = subject.settings.n_probed / subject.problem.batch.n
    cells = 2 * len(rows_of(subject.problem.model, MOST_LAYERS))
    return share * (2 + 0.5 + 0.5 * cells / 4)


SECTION = Section("probes", "where a label is encoded, and used", 80, measure, cost)
