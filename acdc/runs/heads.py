"""The roles of a model's heads, from a model's name and perhaps a task's."""

from collections.abc import Mapping, Sequence
from typing import Any

from acdc.interpret.head_roles import HeadRoles, head_roles
from acdc.options.defaults import SEED
from acdc.progress.bars import Progressing
from acdc.runs.model_spec import ModelSpec
from acdc.task import load_task

__all__ = ["N_FOR_ROLES", "heads"]

N_FOR_ROLES = 20  # prompts of a task


def heads(
    model: Any,
    task: Any = None,
    *,
    roles: Sequence[str] | None = None,
    n: int = N_FOR_ROLES,
    seed: int = SEED,
    held_out: bool = False,
    bos: bool | None = None,
    task_options: Mapping[str, Any] | None = None,
    tokenizer: Any = None,
    progress: Progressing = None,
    **loading: Any,
) -> HeadRoles:
    """Measure what each head of a model does, by the field's scores.

    Args:
        model, tokenizer, loading: As for `acdc.discover`.
        task: A task for the roles that only a task gives (name mover, S-inhibition...): a name, a file, a class, or
            pairs.
        roles: Names of roles; all that can be measured if None.
        n, seed, held_out, bos, task_options: Of its prompts.
        progress: True for a bar.

    Raises:
        ACDCError: The model, the task or a role can't be used.

    >>> found = heads("induction-compiled")
    >>> [head for head, each in found.strongest("induction") if each.holds]
    ['a1.h1']
    """
    spec, made = ModelSpec.of(model, tokenizer=tokenizer, **loading), None
    if task is not None:
        made = load_task(task, **(task_options or {}))
    patchable = spec.load()
    batch = None if made is None else made.batch(patchable.tokenizer, n, seed, held_out=held_out, bos=bos)
    return head_roles(patchable, batch, roles=roles, seed=seed, progress=progress)
