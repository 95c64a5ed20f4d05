"""A true circuit by span: each of its edges at the spans where what its destination reads matters."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from acdc import Circuit, PatchableModel
from acdc.task import load_task

__all__ = ["save_truth", "split_truth"]

N_PROMPTS = 200  # so many have tokens in every span


def save_truth(truth: Circuit, at: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Write a model's true circuit into its folder, and the same by all spans that its task names.

    Args:
        at: See `split_truth`.
        folder: Where the model is already.
    """
    model = PatchableModel.from_pretrained(folder)
    spans = load_task(truth.provenance["task"]).batch(model.tokenizer, N_PROMPTS).named
    assert spans is not None, "the task of a model whose circuit is known names spans"
    truth.save(folder / "circuit.json")
    split_truth(truth, at, spans.names).save(folder / "circuit-by-span.json")


def split_truth(truth: Circuit, at: Mapping[str, Sequence[str]], spans: Sequence[str]) -> Circuit:
    """The true edges split by spans.

    Args:
        at: Of each destination, the spans at which what it reads matters.
        spans: All spans, as a split batch has them.
    """
    edges = [f"{edge}@{span}" for edge in truth.edges for span in at[edge.partition("->")[2]]]
    return Circuit.from_edges(truth.graph.split(spans), edges, provenance=truth.provenance)
