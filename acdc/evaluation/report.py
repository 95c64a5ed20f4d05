"""The file of an evaluation, `evaluation.json`: what it must hold to be read back, and its one reader."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from acdc.errors import FileError
from acdc.files import read_json, validated

__all__ = ["PART_SCHEMAS", "load_report"]

Number = FiniteFloat | None  # null stands for what isn't finite, or isn't defined


class _Schema(BaseModel):
    """What is read of a value; more may stand there."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Interval(_Schema):
    value: Number
    low: Number
    high: Number
    level: FiniteFloat
    under_covers: bool
    no_meaning: str | None


class _Token(_Schema):
    token: str
    p: Number


class _Prediction(_Schema):
    prompt: str
    correct: list[str]
    wrong: list[str]
    top: dict[str, list[_Token]]


class _WorstPrompt(_Schema):
    clean: str
    correct: list[str]
    wrong: list[str]
    distance: Number


class Faithfulness(_Schema):
    metric: str
    intervals: dict[str, dict[str, _Interval]]
    worst_prompts: list[_WorstPrompt]
    predictions: list[_Prediction]
    warnings: list[str]
    n_prompts: int

    @model_validator(mode="after")
    def _is_whole(self) -> "Faithfulness":
        needed = {"faithfulness": {self.metric}, "faithfulness of the complement": {self.metric}}
        everyone = {"model", "circuit", "complement", "corrupted"}
        needed |= dict.fromkeys((self.metric, "accuracy", "top1_accuracy", "p_correct"), everyone)
        for name, keys in needed.items():
            if missing := keys - self.intervals.get(name, {}).keys():
                raise ValueError(f"the interval {name!r} of {min(missing)!r} is missing")
        return self


class Certificate(_Schema):
    holds: bool | None
    tau: FiniteFloat | None
    metric: str
    failing: list[str]
    weakest: str | None
    least_effect: Number
    n_edges: int
    n_prompts: int
    effects: dict[str, Number]

    @model_validator(mode="after")
    def _is_whole(self) -> "Certificate":
        if self.holds is not None and self.tau is None:
            raise ValueError("a certificate that holds or fails needs its tau")
        return self


class Equivalence(_Schema):
    differs: bool
    equivalent: bool
    ties: int
    share: FiniteFloat
    metric: str
    p_differs: FiniteFloat
    p_equivalent: FiniteFloat


class Independence(_Schema):
    dependent: bool
    metric: str
    p: FiniteFloat


class _Quantile(_Schema):
    share: FiniteFloat
    p_above: FiniteFloat


class _Matched(_Schema):
    sufficient: bool | None
    overlap: FiniteFloat
    random_distances: list[Number]
    test: _Quantile


class Sufficiency(_Schema):
    size: _Matched
    degree: _Matched


class _Need(_Schema):
    alone: Number
    largest: Number


class _Needs(_Schema):
    nodes: dict[str, _Need]
    edges: dict[str, _Need]


class _EdgeTest(_Schema):
    effect: Number
    p_redundant: FiniteFloat
    p_needed: FiniteFloat
    verdict: str


class _MinimalityTest(_Schema):
    edges: dict[str, _EdgeTest]
    random_effects: list[Number]
    correction: str


class Minimality(_Schema):
    needs: _Needs
    test: _MinimalityTest


class _Damage(_Schema):
    removed: list[str]
    found: str


class Completeness(_Schema):
    metric: str
    worst: Number
    relative: Number
    damages: list[_Damage] = Field(min_length=1)


class _Areas(_Schema):
    cpr: Number
    cmd: Number
    cpr_spread: list[Number] = Field(default=[None, None], min_length=2, max_length=2)
    cmd_spread: list[Number] = Field(default=[None, None], min_length=2, max_length=2)


class _Curve(_Schema):
    points: list[dict[str, Any]] = Field(min_length=1)
    no_meaning: dict[str, str]

    def check(self, metric: str) -> None:
        """Raise `ValueError` unless every point can be drawn."""
        names = (f"{metric}_faithfulness", metric, *(f"{metric}_q{q}" for q in ("05", "25", "75", "95")))
        for point in self.points:
            if type(point.get("n_edges")) is not int:
                raise ValueError("a point of the curve has no whole number 'n_edges'")
            for name, value in point.items():
                drawn = name in names or name.endswith(("_faithfulness", "_faithfulness_low", "_faithfulness_high"))
                if drawn and value is not None and type(value) not in (int, float):
                    raise ValueError(f"{name!r} of a point of the curve is no number")
            if missing := [name for name in names if name not in point]:
                raise ValueError(f"a point of the curve has no {missing[0]!r}")


class _Ties(_Schema):
    n_sizes: int
    largest: int
    orders: int


class _Mark(_Schema):
    n_edges: int
    faithfulness: Number
    value: Number


class Curves(_Schema):
    metric: str
    signed: _Curve
    absolute: _Curve
    areas: dict[str, dict[str, _Areas]]
    ties: dict[str, _Ties] = Field(min_length=1)
    circuit: _Mark
    warning: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> "Curves":
        for each in (self.signed, self.absolute):
            each.check(self.metric)
        return self


class _Row(_Schema):
    prompts: str
    ablation: str
    direction: str
    granularity: str
    metric: str
    faithfulness: Number
    low: Number
    high: Number
    no_meaning: str | None


class Specification(_Schema):
    rows: list[_Row] = Field(min_length=1)
    own: dict[str, str]

    @model_validator(mode="after")
    def _is_whole(self) -> "Specification":
        if unknown := self.own.keys() - {"prompts", "ablation", "direction", "granularity", "metric"}:
            raise ValueError(f"{min(unknown)!r} is no choice of a specification")
        return self


class Stability(_Schema):
    k: int
    always: list[str]
    core: list[str]
    optional: list[str]
    jaccard: Number
    sizes: list[int] = Field(min_length=1)
    frequency: dict[str, Number]


PART_SCHEMAS: dict[str, type[_Schema]] = {
    "faithfulness": Faithfulness,
    "certificate": Certificate,
    "equivalence": Equivalence,
    "independence": Independence,
    "sufficiency": Sufficiency,
    "minimality": Minimality,
    "completeness": Completeness,
    "curve": Curves,
    "specification": Specification,
    "stability": Stability,
}


class _LeftOut(_Schema):
    left_out: str
    seconds: FiniteFloat


class _Took(_Schema):
    n_prompts: Any
    forward_passes: int | None
    seconds: FiniteFloat


class _Circuit(_Schema):
    n_edges: int
    n_edges_of_model: int
    n_nodes: int


class _Model(_Schema):
    name: str


class _Prompts(_Schema):
    text: str


class _Settings(_Schema):
    seed: int


class _Report(_Schema):
    fingerprint: str
    circuit: _Circuit
    task: str
    model: _Model
    prompts: _Prompts
    settings: _Settings
    warnings: list[str]
    parts: dict[str, dict[str, Any]]


def load_report(path: Path) -> dict[str, Any]:
    """The report of an evaluation, checked: whatever words, tables and figures are made of is there.

    Raises:
        FileError: The file can't be read, or isn't such a report.
    """
    report = read_json(path)
    what = f"{path} is no report of an evaluation, or a damaged one"
    parts = validated(_Report, report, what=what).parts
    for name, part in parts.items():
        if name not in PART_SCHEMAS:
            raise FileError(f"{what}: there is no part {name[:40]!r}")
        for schema in (_LeftOut,) if "left_out" in part else (PART_SCHEMAS[name], _Took):
            validated(schema, part, what=f"{what}: {name}")
    return dict(report)
