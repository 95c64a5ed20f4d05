"""What `explanation.json` holds: all that is said of a circuit, as plain values that pages and tables read.

Every section may be empty: it was not asked for, or could not be measured, which `notes` then says. A number without a
meaning is None. Tokens and names are plain text, never escaped here: whoever shows them escapes them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Agreement",
    "Claim",
    "Estimate",
    "Explanation",
    "Lens",
    "NodeCard",
    "PatchingMap",
    "Pattern",
    "ProbeTable",
    "PromptCard",
    "Steering",
    "TokenShare",
]

Grid = list[list[float | None]]
TokenShare = tuple[str, float]  # a token as text, and its probability, logit or weight, as the field says


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class Estimate(_Part):
    """A mean over prompts, with the bounds of its 95% interval where one could be had."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Claim(_Part):
    """That a node has a role, and what became of it when it was tested by an intervention that it predicts.

    Attributes:
        score, cut: How strongly it shows, and from where on the field speaks of the role.
        held_out: The score on prompts, or random tokens, that did not choose it.
        test: What was done, in a sentence; empty where no test is known for the role.
        predicted, measured: What the role predicts of it, in words, and what came out.
        holds: Whether it came out as predicted; None: not tested.
    """

    role: str
    score: float
    cut: float | None = None
    held_out: float | None = None
    test: str = ""
    predicted: str = ""
    measured: Estimate | None = None
    holds: bool | None = None


class Pattern(_Part):
    """A head's attention on one prompt.

    Attributes:
        prompt: Index into the explanation's prompts; `side` says which text of it.
        weights: `[destination, source]`, row by row, as base64 of one unsigned byte each: 255 is 1.
        value_weighted: The same with each weight times the norm of what is read there, divided by the largest.
    """

    prompt: int
    side: Literal["clean", "corrupt"] = "clean"
    tokens: list[str]
    weights: str
    value_weighted: str = ""


class NodeCard(_Part):
    """One node of the circuit.

    Attributes:
        kind: `input`, `head`, `mlp` or `logits`.
        sentence: What it is and does, in one plain sentence.
        claims: Its roles, the strongest first.
        role_scores: The score of every role that was looked for.
        effect: Rise of the loss when its output is ablated at all positions, all else of the model as it is.
        direct: What it writes towards the answers' logit difference directly (direct logit attribution).
        attends: From the target position: labels of what is read (a span's name or a token), and the attention there.
        writes_up, writes_down: Tokens whose logits its output raises and lowers most, on the task's prompts.
        reads: Tokens that its input, or its OV circuit, responds to most.
        spans: Effect at one span alone, the first one first; only those at which it can differ and, of a circuit whose
            edges are split, at which it writes.
        reads_at: Of a circuit whose edges are split: by input (`q`, `k`, `v`, or empty), the spans of its kept edges.
        writes_at: Of such a circuit: the spans at which its output is kept by an edge.
        patterns: Attention on example prompts.
    """

    name: str
    kind: str
    layer: int
    sentence: str = ""
    claims: list[Claim] = []
    role_scores: dict[str, float | None] = {}
    effect: Estimate | None = None
    direct: Estimate | None = None
    attends: list[TokenShare] = []
    writes_up: list[TokenShare] = []
    writes_down: list[TokenShare] = []
    reads: list[TokenShare] = []
    spans: dict[str, Estimate] = {}
    reads_at: dict[str, list[str]] = {}
    writes_at: list[str] = []
    patterns: list[Pattern] = []

    @property
    def ranked_claims(self) -> list[Claim]:
        """Its claims as they are told: first those whose test held, then those that had none, last those that failed;
        the strongest of each first."""
        return sorted(self.claims, key=lambda claim: {True: 0, None: 1, False: 2}[claim.holds])


class PatchingMap(_Part):
    """Node patching over layers and positions, or layers and heads: 0 nothing, 1 all of the difference.

    Attributes:
        clean, corrupt: Mean of the metric on both sides; `values` is a ratio of means over prompts.
        trivial: Cells that are 1 or 0 by construction, as (row, column): to be shaded.
    """

    direction: Literal["denoising", "noising"]
    site: str
    metric: str
    rows: list[str]
    columns: list[str]
    values: Grid
    clean: float
    corrupt: float
    n_prompts: int
    trivial: list[tuple[int, int]] = []


class Lens(_Part):
    """What the residual stream says at every layer and position of one prompt, or the mean over prompts at the target.

    Attributes:
        kind: `logit lens` or `tuned lens`.
        prompt: Index into the explanation's prompts; None: a mean over all of them.
        rows: The residual streams, from the embedding to the last.
        columns: Positions, as tokens or names.
        top: The top tokens with their probabilities, `[row][column]`; empty for a mean.
        rank: Of the correct answer, from 1; `probability` its probability.
        kl: KL divergence of the model's own output from the lens's, in nats; `entropy` of the lens's output.
    """

    kind: str
    prompt: int | None = None
    rows: list[str]
    columns: list[str]
    top: list[list[list[TokenShare]]] = []
    rank: Grid = []
    probability: Grid = []
    kl: Grid = []
    entropy: Grid = []


class PromptCard(_Part):
    """A pair of prompts, and what the model, the circuit and the corrupted run predict: token and probability."""

    clean: list[str]
    corrupt: list[str]
    spans: dict[str, list[int]] = {}
    correct: list[str]
    wrong: list[str] = []
    held_out: bool = False
    model: list[TokenShare] = []
    circuit: list[TokenShare] = []
    corrupted: list[TokenShare] = []


class Agreement(_Part):
    """Whether ways of measuring agree about nodes: a row for each node, and rank correlations of the columns.

    Attributes:
        columns: What was measured.
        nodes: The rows' names; `values` their numbers.
        correlations: Spearman's, for each two columns; None: not defined.
        verdicts: Of each node: in how many of the columns it is among the strongest, in a word or a sentence.
    """

    columns: list[str]
    nodes: list[str]
    values: Grid
    correlations: Grid = []
    verdicts: list[str] = []


class ProbeTable(_Part):
    """Where a label is encoded: the held-out accuracy of a linear probe at each layer and position.

    Attributes:
        classes: The labels that are told apart.
        low, high: Bounds of the accuracy's 95% interval.
        control: Accuracy on random labels of the same words; selectivity is the difference.
        majority: Accuracy of always saying the commonest label.
        causal: Effect of taking the label away there (what tells the class means apart), as a share of the metric's
            difference between clean and corrupted prompts.
    """

    label: str
    rows: list[str]
    columns: list[str]
    classes: list[str] = []
    accuracy: Grid
    low: Grid = []
    high: Grid = []
    control: Grid = []
    majority: float
    n_train: int
    n_test: int
    causal: Grid = []


class Steering(_Part):
    """A direction, and what it does on held-out prompts and to neutral text, for each strength.

    Attributes:
        direction: How it was made, in words; `site` where it acts.
        strengths: Multipliers; ablation is another row, its strength None.
        metric: The metric's mean on held-out prompts, `metric_name` says which; `neutral_kl` the mean KL divergence on
            neutral text, in nats.
    """

    direction: str
    site: str
    metric_name: str = ""
    strengths: list[float | None]
    metric: list[Estimate]
    neutral_kl: list[float | None]


class Explanation(_Part):
    """All of it.

    Attributes:
        circuit: Fingerprint of the circuit that is explained.
        command: What made it, as it can be typed again.
        question, answer: The task's question, and what was found, in two plain sentences.
        certain, uncertain: What holds, and what doesn't or isn't known, a sentence each.
        held_out: Whether claims were tested on prompts that no choice was made by.
        seconds: What it took, by section.
    """

    version: Literal[1] = 1
    made_with: str
    circuit: str
    command: str = ""
    question: str = ""
    answer: str = ""
    held_out: bool = False
    certain: list[str] = []
    uncertain: list[str] = []
    nodes: list[NodeCard] = []
    prompts: list[PromptCard] = []
    maps: list[PatchingMap] = []
    lenses: list[Lens] = []
    agreement: Agreement | None = None
    probes: list[ProbeTable] = []
    steering: list[Steering] = []
    notes: list[str] = []
    seconds: dict[str, Annotated[float, Field(ge=0)]] = {}
    extra: dict[str, Any] = {}
