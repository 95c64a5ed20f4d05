"""The positional head: it reads the token a fixed number of tokens back, whatever stands there."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "position"]


def position(evidence: Evidence) -> Scores:
    """max_k mean_i A[i, i - k] on random tokens, k from 2: 0 and 1 are roles of their own."""
    found = evidence.random_tokens
    values, offset = found.fresh[..., 2 : found.drawn.half // 2 + 1].max(-1)
    labels = {
        (layer, h): f"{int(offset[layer, h]) + 2} back, R2 {float(found.by_offset[layer, h]):.2f}"
        for layer in range(len(values))
        for h in range(values.shape[1])
    }
    return Scores(values, labels)


ROLE = Role(
    name="position",
    does="looks a fixed number of tokens back",
    evidence="random tokens",
    measure=position,
    definition="largest mean attention to the token k back, k from 2, on random tokens; R2: the share of the pattern's "
    "variance that k explains",
    source="Voita et al. 2019, Analyzing multi-head self-attention (arXiv 1905.09418), section 4: positional heads",
    cut=0.4,
)
