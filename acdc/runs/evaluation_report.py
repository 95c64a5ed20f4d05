"""An evaluation as a value: in words, as frames, and in files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acdc.circuits.circuit import Circuit, model_words
from acdc.evaluation import draw_curve, draw_specification
from acdc.evaluation.confidence import FEW
from acdc.evaluation.hypotheses import MOST_SHARED
from acdc.evaluation.predictions import prediction_lines
from acdc.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WRITTEN", "Evaluation", "write_evaluation"]

SHARED = ("faithfulness", "equivalence", "independence")  # parts that read the same forward passes
WRITTEN = ("edges.csv", *(f"{name}.{kind}" for name in ("curve", "specification") for kind in ("csv", "svg", "png")))
LONGEST = 100  # letters of a prompt in the summary


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found out about a circuit.

    Attributes:
        circuit: The circuit, as it was.
        report: What `evaluation.json` holds: circuit, model, settings, warnings, and `parts` by name, each with
            `n_prompts`, `forward_passes` and `seconds`, or with `left_out` and the reason.
        path: The folder; None if nothing was written.
        files: What was written.
    """

    circuit: Circuit
    report: Mapping[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    def part(self, name: str) -> Mapping[str, Any] | None:
        """A part's result; None if it wasn't measured or couldn't be."""
        found = self.report["parts"].get(name)
        return None if found is None or "left_out" in found else found

    def curve_frame(self) -> "pd.DataFrame | None":
        """Faithfulness against size: one row a size and ranking."""
        import pandas as pd

        found = self.part("curve")
        if found is None:
            return None
        return pd.DataFrame(
            [{"ranking": key, **point} for key in ("signed", "absolute") for point in found[key]["points"]]
        )

    def specification_frame(self) -> "pd.DataFrame | None":
        """One row a way to measure."""
        import pandas as pd

        found = self.part("specification")
        return None if found is None else pd.DataFrame(found["rows"])

    def edges_frame(self) -> "pd.DataFrame":
        """One row a kept edge, and an edge that was found again: what is known of it.

        `score` is the run's; `effect_discovery` and `effect` are exact knock-out effects on the discovery and the
        evaluation prompts; `effect_largest` is the largest with other nodes away; `p_redundant`, `p_needed` and
        `verdict` are the minimality test's; `inclusion` is how often it was found again.
        """
        import pandas as pd

        columns = _edge_columns(self)
        kept, scores = set(self.circuit.edges), self.circuit.scores
        names = dict.fromkeys([*self.circuit.edges, *columns.get("inclusion", {})])
        rows = [{"edge": name, "kept": name in kept} for name in names]
        for row in rows:
            name = str(row["edge"])
            if scores is not None:
                row["score"] = float(scores[self.circuit.graph.parse_edge(name)])
            row |= {column: values.get(name) for column, values in columns.items()}
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """The evaluation in some lines of plain text."""
        facts = list(_facts(self.report))
        width = max(len(name) for name, _ in facts) + 2
        return "\n".join([_title(self.report), *(f"  {name:<{width}}{text}" for name, text in facts)])

    def to_dict(self) -> dict[str, Any]:
        """The report, and where it is."""
        files = [str(file) for file in self.files]
        return {**self.report, "path": None if self.path is None else str(self.path), "files": files}

    def _repr_html_(self) -> str:
        from acdc.drawing.notebook import facts_html

        return facts_html(_title(self.report), _facts(self.report))

    def __repr__(self) -> str:
        return f"Evaluation({self.circuit!r}; {', '.join(self.report['parts'])})"

    def __str__(self) -> str:
        return self.summary()


def write_evaluation(evaluation: Evaluation, folder: Path) -> Evaluation:
    """Write tables and figures into `folder`; the evaluation with where they are."""
    files = [_csv(folder / "edges.csv", evaluation.edges_frame())]
    title = f"{_named(evaluation.report)}, {evaluation.report['prompts']['text']}"
    untold = " (faithfulness has no meaning here)"
    curve, specification = evaluation.curve_frame(), evaluation.specification_frame()
    if curve is not None:
        found = evaluation.report["parts"]["curve"]
        files.append(_csv(folder / "curve.csv", curve))
        mark = found["circuit"] if found["circuit"]["faithfulness"] is not None else None
        for name in ("curve.svg", "curve.png"):
            said = title + (untold if found["metric"] in found["signed"]["no_meaning"] else "")
            files.append(draw_curve(curve, folder / name, metric=found["metric"], circuit=mark, title=said))
    if specification is not None:
        own = evaluation.report["parts"]["specification"]["own"]
        files.append(_csv(folder / "specification.csv", specification))
        for name in ("specification.svg", "specification.png"):
            files.append(draw_specification(specification, folder / name, own=own, title=_named(evaluation.report)))
    return replace(evaluation, path=folder, files=tuple(files))


def _csv(path: Path, frame: "pd.DataFrame") -> Path:
    return write_atomically(path, frame.to_csv(index=False).encode())


def _edge_columns(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """What the parts say of edges, by column and name."""
    columns: dict[str, dict[str, Any]] = {}
    if certificate := evaluation.part("certificate"):
        columns["effect_discovery"] = certificate["effects"]
    if minimality := evaluation.part("minimality"):
        edges, needs = minimality["test"]["edges"], minimality["needs"]["edges"]
        columns["effect"] = {name: test["effect"] for name, test in edges.items()}
        columns["effect_largest"] = {name: need["largest"] for name, need in needs.items()}
        for key in ("p_redundant", "p_needed", "verdict"):
            columns[key] = {name: test[key] for name, test in edges.items()}
    if stability := evaluation.part("stability"):
        columns["inclusion"] = stability["frequency"]
    return columns


def _title(report: Mapping[str, Any]) -> str:
    return f"{_named(report)}: evaluated on {report['prompts']['text']} (seed {report['settings']['seed']})"


def _named(report: Mapping[str, Any]) -> str:
    return f"{report['task']} on {model_words(report['model']['name'])}"


def _facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and lines, part by part."""
    circuit = report["circuit"]
    yield "edges", f"{circuit['n_edges']:,} of {circuit['n_edges_of_model']:,}, {circuit['n_nodes']} nodes"
    if circuit.get("flipped_scores"):
        yield "scores", "taken with the opposite sign"
    for warning in (*report["warnings"], *(report["parts"].get("faithfulness", {}).get("warnings", ()))):
        yield "warning", warning
    for name, part in report["parts"].items():
        if "left_out" in part:
            yield name, f"left out: {part['left_out']}"
        else:
            yield from LINES[name](part)
    passes = {name: part.get("forward_passes") or 0 for name, part in report["parts"].items()}
    shared = max((passes.pop(name) for name in SHARED if name in passes), default=0)
    seconds = sum(part["seconds"] for part in report["parts"].values())
    yield "cost", f"{sum(passes.values()) + shared:,} forward passes, {seconds:.1f} s"


def _faithfulness(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    intervals, own = part["intervals"], part["metric"]
    names = [own, *(name for name in intervals["faithfulness"] if name != own)]
    yield "faithfulness", "; ".join(f"{_interval(intervals['faithfulness'][name])} by {name}" for name in names)
    yield "of the complement", f"{_interval(intervals['faithfulness of the complement'][own])} by {own}"
    if any(each["under_covers"] for group in intervals.values() for each in group.values()):
        level, n = intervals[own]["circuit"]["level"], part["n_prompts"]
        yield "intervals", f"of {n} prompts, fewer than {FEW}: they cover less than {level:.0%} where values are skewed"
    means = intervals[own]
    yield own, ", ".join(f"{who} {_interval(means[who])}" for who in ("circuit", "complement", "corrupted"))
    for name, text in (("accuracy", "accuracy"), ("top1_accuracy", "top-1 accuracy"), ("p_correct", "p(correct)")):
        yield text, ", ".join(f"{who} {_interval(intervals[name][who])}" for who in ("model", "circuit", "corrupted"))
    for outcome in part["worst_prompts"][:3]:
        text = outcome["clean"] if len(outcome["clean"]) <= LONGEST else f"…{outcome['clean'][-LONGEST:]}"
        answers = _words(outcome["correct"]) + (f", not {_words(outcome['wrong'])}" if outcome["wrong"] else "")
        yield "worst prompt", f"{own} off by {_number(outcome['distance'])}: {text!r} ({answers})"
    for prediction in part["predictions"]:
        yield from prediction_lines(prediction)


def _certificate(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    where = f"{part['n_prompts']} discovery prompts, {part['metric']}"
    least = "" if part["weakest"] is None else f"least {_number(part['least_effect'])}, {part['weakest']}"
    if part["holds"] is None:
        yield "certificate", f"no tau to check against ({where}); {least}"
    elif part["holds"]:
        yield "certificate", f"minimal at tau {part['tau']:g}: every edge is needed ({where}; {least})"
    else:
        some = ", ".join(part["failing"][:3]) + (", …" if len(part["failing"]) > 3 else "")
        share = f"{len(part['failing'])} of {part['n_edges']} edges fall short"
        yield "certificate", f"not minimal at tau {part['tau']:g}: {share}: {some} ({where}; {least})"


def _equivalence(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    word = "they differ" if part["differs"] else "equivalent" if part["equivalent"] else "undecided"
    ties = f", {part['ties']} ties" if part["ties"] else ""
    shares = f"the circuit beats the model on {part['share']:.0%} of prompts by {part['metric']}{ties}"
    yield "equivalence", f"{word}: {shares} (p differ {_p(part['p_differs'])}, p same {_p(part['p_equivalent'])})"


def _independence(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    shown = "the complement's performance depends on the model's"
    word = shown if part["dependent"] else "no dependence of the complement on the model shown"
    yield "independence", f"{word}, by {part['metric']} (HSIC, p {_p(part['p'])})"


def _sufficiency(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for matched in ("size", "degree"):
        found = part[matched]
        test, n = found["test"], len(found["random_distances"])
        word = {True: "sufficient", False: "not shown", None: "no verdict"}[found["sufficient"]]
        alike = f"they share {found['overlap']:.0%} of its edges on average"
        too = f", too alike for a verdict (over {MOST_SHARED:.0%})" if found["sufficient"] is None else ""
        text = f"nearer than {test['share']:.0%} of {n} random circuits (p {_p(test['p_above'])}); {alike}{too}"
        yield f"sufficiency, {matched}", f"{word}: {text}"


def _minimality(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    test = part["test"]
    verdicts = [each["verdict"] for each in test["edges"].values()]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("needed", "undecided", "redundant"))
    yield "minimality", f"edges: {counts} (against {len(test['random_effects'])} random edges, {test['correction']})"
    nodes = sorted(part["needs"]["nodes"].items(), key=lambda item: item[1]["largest"] or 0.0)
    if nodes:
        name, need = nodes[0]
        yield "least needed node", f"{name}: {_number(need['largest'])} at most, {_number(need['alone'])} alone"


def _completeness(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    worst = part["damages"][0]
    without = ", ".join(worst["removed"]) or "nothing removed"
    share = "" if part["relative"] is None else f", {part['relative']:.0%} of the model's span"
    yield (
        "completeness",
        f"largest gap {_number(part['worst'])} {part['metric']}{share}, without {without} ({worst['found']})",
    )


def _curve(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "warning" in part:
        yield "warning", part["warning"]
    reasons = part["signed"]["no_meaning"]
    for mode, areas in part["areas"].items():
        texts = [
            f"{name} {_area(each, 'cpr')} / {_area(each, 'cmd')}{' (no meaning)' if name in reasons else ''}"
            for name, each in areas.items()
        ]
        yield f"CPR / CMD, {mode}", ", ".join(texts) or "undefined"
    ties = max(part["ties"].values(), key=lambda each: (each["orders"], each["n_sizes"]))
    if ties["n_sizes"]:
        yield (
            "tied scores",
            f"{ties['n_sizes']} sizes cut ties of up to {ties['largest']:,} equal scores: means over {ties['orders']} "
            "orders drawn among equals [least, greatest]",
        )


def _area(areas: Mapping[str, Any], name: str) -> str:
    """CPR or CMD, and how it varies over orders of equal scores."""
    shown = [_places(each) for each in (areas[name], *areas.get(f"{name}_spread", ()))]
    return shown[0] + (f" [{shown[1]}, {shown[2]}]" if len(shown) > 1 else "")


def _specification(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    measured = [row for row in part["rows"] if row["faithfulness"] is not None]
    values = sorted(row["faithfulness"] for row in measured if not row["no_meaning"])
    without = f"; {len(measured) - len(values)} more have no meaning" if len(values) < len(measured) else ""
    if values:
        middle = values[len(values) // 2]
        spread = f"{_number(values[0])} to {_number(values[-1])}, median {_number(middle)}"
        yield "specification", f"faithfulness {spread} over {len(values)} ways to measure it{without}"
    elif measured:
        yield "specification", f"faithfulness has no meaning in any of {len(measured)} ways to measure it"


def _stability(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    sizes = f"{min(part['sizes'])} to {max(part['sizes'])} edges"
    core = f"{len(part['always'])} edges always, {len(part['core'])} in 90%, {len(part['optional'])} optional"
    yield "stability", f"Jaccard {_number(part['jaccard'])} over {part['k']} other prompt sets ({sizes}): {core}"


LINES = {
    "faithfulness": _faithfulness,
    "certificate": _certificate,
    "equivalence": _equivalence,
    "independence": _independence,
    "sufficiency": _sufficiency,
    "minimality": _minimality,
    "completeness": _completeness,
    "curve": _curve,
    "specification": _specification,
    "stability": _stability,
}


def _interval(interval: Mapping[str, Any]) -> str:
    ends = f" [{_number(interval['low'])}, {_number(interval['high'])}]" if interval["low"] is not None else ""
    return f"{_number(interval['value'])}{ends}" + (f" (no meaning: {why})" if (why := interval["no_meaning"]) else "")


def _words(answers: list[str]) -> str:
    return "/".join(answer.strip() for answer in answers[:3]) + ("/…" if len(answers) > 3 else "")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"


def _places(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "< 1e-4"
