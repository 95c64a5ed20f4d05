"""What is found out about one prompt, as plain values: for people, for JSON and for notebooks."""

import html
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Diagnosis", "Look", "NodeReport", "Restored", "Said", "StreamSays"]


@dataclass(frozen=True)
class Said:
    """A token and its probability."""

    token: str
    p: float


@dataclass(frozen=True)
class StreamSays:
    """What the logit lens reads at the last token of the prompt.

    Attributes:
        stream: Which residual stream: `resid_pre 0` is the embedding.
        top: The most probable token.
        p_answer, p_wrong: Of the right and of the wrong answer.
        rank: Of the right answer, from 1.
    """

    stream: str
    top: Said
    p_answer: float
    p_wrong: float
    rank: int


@dataclass(frozen=True)
class Look:
    """A token that a head reads at the prompt's end.

    Attributes:
        position: From 0, special tokens included.
        attention: The share of the head's attention.
    """

    position: int
    token: str
    attention: float


@dataclass(frozen=True)
class NodeReport:
    """A head or an MLP.

    Attributes:
        direct: What it writes towards the logit difference itself (direct logit attribution), in logits.
        effect: By how much the logit difference falls when its output is ablated at all positions; positive: it works
            for the right answer. None: not measured.
        then: What the model says most probably without it, and `logit_diff` the difference then; None: not measured.
        looks: Where a head looks from the prompt's end, most first.
    """

    node: str
    kind: str
    layer: int
    direct: float
    effect: float | None = None
    then: Said | None = None
    logit_diff: float | None = None
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True)
class Restored:
    """Where putting the clean run's residual stream into the corrupted run brings the answer back.

    Attributes:
        streams: From the first to the last one that restores at least half; `most` the largest share, at `best`.
    """

    position: int
    token: str
    first: str
    last: str
    best: str
    most: float


@dataclass(frozen=True)
class Diagnosis:
    """One prompt, debugged.

    Attributes:
        prompt: Its tokens, special ones included; `corrupt` those of its twin, if one was given.
        answer, wrong: The tokens that are compared.
        top: The most probable tokens; `corrupted_top` those after the corrupted prompt.
        p_answer, p_wrong, rank_answer, rank_wrong: What the model gives them; ranks from 1.
        logit_diff: Logit of the answer minus that of the wrong one.
        entropy: Of the model's prediction, in nats.
        streams: The logit lens, from the embedding to the end.
        leads: Which of the two leads at the end, and from which stream on it does so without a break while one of them
            can be read (has at least 1%); None: neither can be read at the end.
        nodes: Those that are named anywhere here, the strongest first.
        ablation: What ablated outputs are, in words.
        restored: Empty where no corrupted prompt was given, or the two don't differ in the logit difference.
        notes: What is to be known of all this.
    """

    model: str
    prompt: tuple[str, ...]
    corrupt: tuple[str, ...]
    answer: str
    wrong: str
    top: tuple[Said, ...]
    corrupted_top: tuple[Said, ...]
    p_answer: float
    p_wrong: float
    rank_answer: int
    rank_wrong: int
    logit_diff: float
    entropy: float
    streams: tuple[StreamSays, ...]
    leads: tuple[str, str | None]
    nodes: tuple[NodeReport, ...]
    ablation: str
    restored: tuple[Restored, ...]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """All of it in plain sentences."""
        from acdc.interpret.debug.words import told

        return told(self)

    def frame(self) -> "pd.DataFrame":
        """One row a node: `node`, `kind`, `layer`, `direct`, `effect`, `logit_diff`, `then`, `looks`."""
        import pandas as pd

        rows = [
            asdict(node)
            | {"then": None if node.then is None else node.then.token}
            | {"looks": ", ".join(f"{look.token!r} {look.attention:.2f}" for look in node.looks)}
            for node in self.nodes
        ]
        names = ["node", "kind", "layer", "direct", "effect", "logit_diff", "then", "looks"]
        return pd.DataFrame(rows, columns=names)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return asdict(self)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """The sentences, and the nodes as a table, for notebooks."""
        return f"<pre>{html.escape(self.summary())}</pre>{self.frame().to_html(escape=True, index=False)}"
