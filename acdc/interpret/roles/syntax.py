"""The syntactic head: from a word it reads the word that it depends on, or that depends on it."""

import torch

from acdc.interpret.evidence import Evidence
from acdc.interpret.evidence.sentences import RELATIONS
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "syntax"]


def syntax(evidence: Evidence) -> Scores:
    """By how much the head finds the other word of a relation more often than the best fixed offset does.

    The relation is the head's best one on half of the sentences; the score is that of the other half.
    """
    sentences = evidence.sentences
    held_out = torch.tensor([arc.held_out for arc in sentences.arcs])
    offsets = torch.tensor([arc.later - arc.earlier for arc in sentences.arcs])
    of = torch.tensor([RELATIONS.index(arc.relation) for arc in sentences.arcs])
    gains, shares, fixed = [], [], []
    for relation in range(len(RELATIONS)):
        chosen, judged = ((of == relation) & side for side in (~held_out, held_out))
        common = [float((offsets[side] == offsets[side].mode().values).double().mean()) for side in (chosen, judged)]
        means = [sentences.hits[..., side].double().mean(-1) for side in (chosen, judged)]
        gains.append(means[0] - common[0])
        shares.append(means[1])
        fixed.append(common[1])
    best = torch.stack(gains).argmax(0)
    share = torch.stack(shares).gather(0, best[None])[0]
    baseline = torch.tensor(fixed, dtype=torch.float64)[best]
    labels = {
        (layer, h): f"{RELATIONS[best[layer, h]]} {share[layer, h]:.2f}, an offset {baseline[layer, h]:.2f}"
        for layer in range(len(best))
        for h in range(best.shape[1])
    }
    return Scores(share - baseline, labels)


ROLE = Role(
    name="syntax",
    does="looks at the word that stands in one grammatical relation to the current one",
    evidence="sentences",
    measure=syntax,
    definition="share of its best relation's arcs whose earlier word is what it looks at most from the later one, less "
    "the best fixed offset's share; the relation is chosen on other sentences",
    source="Clark et al. 2019, What does BERT look at? (arXiv 1906.04341), section 4.2",
    cut=0.1,
    cut_source="ours: the paper asks that the best fixed offset is beaten",
)
