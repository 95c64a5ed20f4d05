"""The roles of a model's heads, from a model's name and perhaps a task's."""

from collections.abc import Mapping, Sequence
from typing import Any

from acdc.interpret.composition import Composition, composition
from acdc.interpret.head_roles import HeadRoles, head_roles
from acdc.interpret.roles import ROLES
from acdc.options.defaults import N_FOR_ROLES, SEED
from acdc.progress.bars import Progressing
from acdc.runs.model_spec import ModelSpec
from acdc.task import load_task

__all__ = ["compositions", "heads"]


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
    for name in roles or ():
        ROLES.find(name)  # told before anything is loaded
    made = None if task is None else load_task(task, **(task_options or {}))
    spec = ModelSpec.of(model, tokenizer=tokenizer, **loading)
    patchable = spec.load()
    batch = None if made is None else made.batch(patchable.tokenizer, n, seed, held_out=held_out, bos=bos)
    return head_roles(patchable, batch, roles=roles, seed=seed, progress=progress)


def compositions(model: Any, *, tokenizer: Any = None, **loading: Any) -> Composition:
    """Which heads' weights fit together, for all pairs of a model's heads.

    Args:
        model, tokenizer, loading: As for `acdc.discover`.

    Raises:
        ACDCError: The model can't be used, or no score is defined for it.
    """
    return composition(ModelSpec.of(model, tokenizer=tokenizer, **loading).load())
