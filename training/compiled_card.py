"""The card of a compiled model: what it does, its true circuit, and how far that stands out where there is noise."""

from pathlib import Path
from typing import TYPE_CHECKING

from margins import margins

if TYPE_CHECKING:
    from compiling import Model

__all__ = ["card_of"]

CARD = """---
license: mit
summary: {summary}
---

# {name}

A GPT-2-architecture model of {n_layers} layers with {n_heads} heads, whose weights were set by hand, not trained.
{story}
Other heads and MLPs read and write too, but nobody {needs} what they write.

`circuit.json` holds the true circuit for the task `{task}`, derived by the same script from what each node reads
and writes: {edges}.
`circuit-by-span.json` holds the same edges, each at the spans of the task where it acts.

An edge is true if its source writes something that its destination reads, that differs between clean and corrupted
prompts, and that reaches the logits. Positions are the same in both prompts, so no true edge carries them: this holds
where removed edges carry the corrupted prompt's activations (`--ablation corrupt`), not where they carry zero.
{noise}
LayerNorm's epsilon is {epsilon:g}, so that LayerNorm takes the mean away and does nothing else.

Made by `python training/compile_{script}.py --out acdc/zoo/{name}`.

It knows nothing but this: it has no use outside of checking discovery methods.
"""


NOISE = """
Besides, everything reads a little of every block (weights up to {noise:g} of their unit), so no edge is without effect.
On 20 prompts, removed alone{context},
a true edge changes the logit difference by {true:.2f} or more, any other by {other:.2f} or less.
"""


def card_of(model: "Model", folder: Path, epsilon: float) -> str:
    """The card of a model that is written to a folder; `epsilon` is its LayerNorm's."""
    return CARD.format(
        needs="needs" if model.noise else "reads",
        noise=_noise(model, folder) if model.noise else "",
        name=model.name,
        summary=model.summary,
        story=model.story,
        task=model.task,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        epsilon=epsilon,
        edges=", ".join(f"`{edge}`" for edge in model.truth.edges),
        script=model.task.replace("-", "_"),
    )


def _noise(model: "Model", folder: Path) -> str:
    """What the card says of the noise."""
    found = margins(folder, model.truth, "logit_diff", model.backups)
    others = " or ".join(f"`{node}`" for node in model.backups)
    context = f" (from the whole model, or from that without {others})" if others else ""
    return NOISE.format(noise=model.noise, context=context, **found._asdict())
