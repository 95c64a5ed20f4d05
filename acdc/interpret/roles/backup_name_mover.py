"""The backup name mover: it writes the right answer once the name movers don't."""

import torch

from acdc.interpret.evidence import Evidence
from acdc.interpret.evidence.answers import put
from acdc.interpret.roles.name_mover import CUT, movers
from acdc.interpret.roles.role import Role, Scores
from acdc.interpret.unmeasured import Unmeasured

__all__ = ["ROLE", "backup_name_mover"]


def backup_name_mover(evidence: Evidence) -> Scores:
    """How much more a head writes when the name movers' outputs at the target are their means over the prompts.

    It is at most all that the head then writes: one that only writes less against the answer is no backup.

    Raises:
        Unmeasured: There are no name movers.
    """
    answers, moving = evidence.answers, movers(evidence)
    if not moving:
        raise Unmeasured("there are no name movers to be backed up")
    z = answers.clean.z
    means = put({(layer, h): z[layer, h].mean(0).expand_as(z[layer, h]) for layer, h in moving})
    ablated = answers.run(answers.batch.clean, means)
    before, after = (run.direct.mean(-1) / answers.margin for run in (answers.clean, ablated))
    backs_up = torch.minimum(after - before, after).double().cpu()
    for layer, h in moving:
        backs_up[layer, h] = 0
    return Scores(backs_up)


ROLE = Role(
    name="backup name mover",
    does="writes the right answer when the name movers are ablated",
    evidence="task prompts",
    measure=backup_name_mover,
    definition="rise of its direct attribution to the logit difference when the name movers are mean-ablated at the "
    "target, at most all that it then writes, as a share of the mean logit difference; a name mover itself has 0",
    source="Wang et al. 2022 (arXiv 2211.00593), section 3.4",
    cut=CUT,
    cut_source="ours: the paper ranks heads",
)
