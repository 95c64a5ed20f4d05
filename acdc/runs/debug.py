"""`acdc.debug`: why a model says what it says after one prompt."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch

from acdc.interpret.debug import Diagnosis, Question, diagnose
from acdc.options.defaults import DEVICE, DTYPE
from acdc.options.ranges import Range, checked
from acdc.progress import announce
from acdc.progress.bars import Progressing, shown
from acdc.runs.model_spec import ModelSpec

__all__ = ["debug"]

NNodes = Annotated[int, Range(1, 1000, why="how many nodes to name on each side")]


def debug(
    model: Any,
    prompt: str | Sequence[Any],
    answer: str | int | None = None,
    wrong: str | int | None = None,
    *,
    corrupt: str | Sequence[Any] | None = None,
    chat: bool = False,
    system: str | None = None,
    bos: bool | None = None,
    n_nodes: int = 5,
    dtype: str | torch.dtype = DTYPE,
    device: str = DEVICE,
    device_map: str | Mapping[str, Any] | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    tokenizer: Any = None,
    progress: Progressing = None,
) -> Diagnosis:
    """Say what a model answers after a prompt, where that is decided, which nodes make it, and what changes it.

    Args:
        model, dtype, device, device_map, revision, trust_remote_code, tokenizer: As for `acdc.discover`.
        prompt: Text, token ids or chat messages.
        answer: The right answer, with the space before it where the text has one; the model's first choice if None.
            Of an answer of several tokens the first is compared.
        wrong: What it is compared with; the most probable other token if None.
        corrupt: A twin of the prompt with as many tokens. Nodes are then ablated to what they write there, and the
            report says where the clean run's activations bring the answer back. Without it they are ablated to their
            mean over neutral text.
        chat: Whether the texts are a user's messages, to be written out by the tokenizer's chat template.
        system: The system message before them.
        bos: What stands before a text: as the tokenizer does if None.
        n_nodes: How many nodes to name on each side.
        progress: True shows a bar; a function is called with each `Progress`.

    Raises:
        ACDCError: The model, the prompt or an answer can't be used.

    >>> print(debug("smollm2", "The capital of Australia is", " Canberra", " Sydney"))  # doctest: +SKIP
    """
    checked("n_nodes", NNodes, n_nodes)
    spec = ModelSpec.of(
        model,
        tokenizer=tokenizer,
        dtype=dtype,
        device=device,
        device_map=device_map,
        revision=revision,
        trust_remote_code=trust_remote_code,
    )
    with shown(progress) as tell:
        announce(tell, f"loading {spec.name}")
        loaded = spec.load()
        question = Question.make(loaded, prompt, answer, wrong, corrupt=corrupt, chat=chat, system=system, bos=bos)
        return diagnose(loaded, question, n_nodes=n_nodes, progress=tell)
