"""The roles of a model's heads: every role measured on every head, as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acdc.errors import CircuitError
from acdc.interpret.evidence import Evidence
from acdc.interpret.head_names import head_names
from acdc.interpret.roles import ROLES
from acdc.interpret.roles.role import Scores
from acdc.interpret.unmeasured import Unmeasured
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.progress import Progress
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HeadRoles", "RoleScore", "head_roles"]


@dataclass(frozen=True)
class RoleScore:
    """A head's score in one role.

    Attributes:
        label: What else is to be said of it, like "3 back".
    """

    role: str
    score: float
    cut: float
    label: str = ""

    @property
    def holds(self) -> bool:
        """Whether the field would say that the head has the role."""
        return self.score >= self.cut

    def __str__(self) -> str:
        return f"{self.role} {self.score:.2f}{f' ({self.label})' if self.label else ''}"


@dataclass(frozen=True)
class HeadRoles:
    """Every measured role of every head.

    Attributes:
        model: Its name.
        heads: All heads, layer by layer.
        scores: By role, `[layer head]`.
        reasons: Why a role couldn't be measured, by role.
        task: Name of the task whose prompts were used; empty: none.
        seed: Of what was drawn.
    """

    model: str
    heads: tuple[str, ...]
    scores: Mapping[str, Scores]
    reasons: Mapping[str, str]
    task: str
    seed: int

    def of(self, head: str) -> list[RoleScore]:
        """A head's score in every role that was measured, the strongest beside its cut first.

        Raises:
            CircuitError: There is no such head.
        """
        if head not in self.heads:
            raise CircuitError(
                f"{self.model!r} has no head {head!r}; its heads are {self.heads[0]} to {self.heads[-1]}"
            )
        found = [self._score(role, self.heads.index(head)) for role in self.scores]
        return sorted(found, key=lambda each: -each.score / each.cut)

    def held(self, head: str) -> list[RoleScore]:
        """The roles that a head has, by the cuts, the strongest first."""
        return [each for each in self.of(head) if each.holds]

    def strongest(self, role: str, most: int | None = None) -> list[tuple[str, RoleScore]]:
        """The heads by their score in a role, the highest first; none where the role wasn't measured.

        Raises:
            UnknownNameError: There is no such role.
        """
        ROLES.find(role)
        if role not in self.scores:
            return []
        found = [(head, self._score(role, i)) for i, head in enumerate(self.heads)]
        return sorted(found, key=lambda each: -each[1].score)[:most]

    def _score(self, role: str, index: int) -> RoleScore:
        scores = self.scores[role]
        layer, h = divmod(index, scores.values.shape[1])
        return RoleScore(role, float(scores.values[layer, h]), ROLES[role].cut, scores.labels.get((layer, h), ""))

    def frame(self) -> "pd.DataFrame":
        """One row a head: its layer, its score in every measured role, and `roles`, those that it has by the cuts."""
        import pandas as pd

        columns: dict[str, Any] = {role: scores.values.flatten().tolist() for role, scores in self.scores.items()}
        width = next(iter(self.scores.values())).values.shape[1] if self.scores else 1
        layers = {"layer": [i // width for i in range(len(self.heads))]}
        has = {"roles": [", ".join(each.role for each in self.held(head)) for head in self.heads]}
        return pd.DataFrame(layers | columns | has, index=pd.Index(self.heads, name="head"))

    def _repr_html_(self) -> str:
        return self.frame().to_html(float_format=lambda x: f"{x:.2f}")


def head_roles(
    model: PatchableModel,
    batch: PromptBatch | None = None,
    *,
    roles: Sequence[str] | None = None,
    seed: int = SEED,
    progress: Progressing = None,
) -> HeadRoles:
    """Measure the roles of all heads.

    Args:
        batch: A task's prompts, for the roles that a task gives to heads (name mover...); without, they are left out.
        roles: Their names; all that can be measured if None.
        seed: Of random tokens.
        progress: True for a bar, or a function that is told how far it is.

    Raises:
        UnknownNameError: There is no such role.
        TaskError: A prompt doesn't fit the model.

    >>> from acdc.models import PatchableModel
    >>> found = head_roles(PatchableModel.from_pretrained("induction-compiled"), roles=["induction", "previous token"])
    >>> [str(each) for each in found.held("a1.h1")]
    ['induction 1.00']
    """
    wanted = [ROLES.find(name) for name in roles] if roles is not None else list(ROLES.values())
    if batch is not None:
        model.check_batch(batch)
    with shown(progress) as tell:
        evidence = Evidence(model, None if batch is None else batch.to(model.device), seed)
        scores, reasons = dict[str, Scores](), dict[str, str]()
        for i, role in enumerate(wanted):
            if tell is not None:
                tell(Progress(i, len(wanted), stage=role.evidence, unit="roles"))
            try:
                scores[role.name] = role.measure(evidence)
            except Unmeasured as error:
                reasons[role.name] = str(error)
    return HeadRoles(model.name, tuple(head_names(model)), scores, reasons, "" if batch is None else batch.task, seed)
