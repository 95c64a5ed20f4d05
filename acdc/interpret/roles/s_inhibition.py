"""The S-inhibition head: it makes the name movers look at the right answer rather than the wrong one."""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.interpret.attention_pass import LayerAttention, attention_pass
from acdc.interpret.evidence import Evidence
from acdc.interpret.evidence.answers import put
from acdc.interpret.head_names import place_of
from acdc.interpret.roles.name_mover import movers
from acdc.interpret.roles.role import Role, Scores
from acdc.interpret.tested import Tested, falls
from acdc.interpret.unmeasured import Unmeasured
from acdc.patching.attention import head_results, project_heads, project_layer
from acdc.patching.layout import Layout, Tables
from acdc.patching.pattern import head_patterns

__all__ = ["ROLE", "patched_looks", "s_inhibition"]


def s_inhibition(evidence: Evidence) -> Scores:
    """How much less the name movers prefer the right answer when their queries read the head's corrupted output.

    The path is the head's own edge into each mover's query at the target; Wang et al.'s also goes through MLPs.

    Raises:
        Unmeasured: There are no name movers, or the wrong answer doesn't stand in the prompts.
    """
    answers, moving = evidence.answers, movers(evidence)
    if not moving:
        raise Unmeasured("there are no name movers whose attention could be moved")
    usual = answers.prefers(answers.clean.looks)
    fall = torch.zeros(usual.shape[:2], dtype=torch.float64)

    def visit(here: LayerAttention) -> None:
        mine = [h for layer, h in moving if layer == here.layer]
        if mine and here.layer > 0:
            patched = answers.prefers(patched_looks(evidence, here, mine))  # [mover layer head batch]
            drop = usual[here.layer, mine][:, None, None] - patched
            fall[: here.layer] += drop.mean(-1).sum(0).double().cpu() / len(moving)

    attention_pass(evidence.model, answers.batch, answers.batch.clean, visit)
    return Scores(fall)


def patched_looks(
    evidence: Evidence, here: LayerAttention, heads: list[int]
) -> Float[Tensor, "n layer head batch pos"]:
    """Attention from the target of a layer's `heads`, for each earlier head whose output is corrupted on its edge."""
    answers, model = evidence.answers, evidence.model
    block, layout = model.components.blocks[here.layer], Layout(answers.batch, model.dtype)
    change = answers.corrupt.scaled - answers.clean.scaled
    results = [
        head_results(model.components.blocks[layer].attention, change[layer], range(model.graph.n_heads))
        for layer in range(here.layer)
    ]
    x = here.resid_pre[:, -1] + torch.stack(results)  # [layer head batch d_model]
    n = len(answers.batch.clean)
    tables = layout.rotary(here.attention)
    last = None if tables is None else _repeated(tables, n, len(x) * x.shape[1])
    normed = block.ln1(x).flatten(0, 2)[:, None]  # [layer·head·batch 1 d_model]
    q = project_heads(here.attention, "q", normed.expand(len(heads), -1, -1, -1), heads, last)
    k = project_layer(here.attention, "k", block.ln1(here.resid_pre), layout.rotary(here.attention))
    keys = k.repeat_interleave(here.attention.group, 0)[heads][:, None]
    bias = layout.bias_of(here.attention, heads)[..., -1:, :]
    pattern = head_patterns(here.attention, heads, q.unflatten(1, (-1, n)), keys, bias)
    return pattern[:, :, :, 0].unflatten(1, x.shape[:2])


def _repeated(tables: Tables, n: int, copies: int) -> Tables:
    """The tables at the target, for copies of the batch one after the other."""
    cos, sin = (table.expand(n, -1, -1)[:, -1:].repeat(copies, 1, 1) for table in tables)
    return cos, sin


def moves_attention(evidence: Evidence, head: str) -> Tested:
    """With its whole output at the target corrupted, on all paths, the movers prefer the right answer less."""
    answers, moving = evidence.answers, movers(evidence)
    if not moving:
        raise Unmeasured("there are no name movers whose attention could be moved")
    layer, h = place_of(evidence.model, head)
    patched = answers.run(answers.batch.clean, put({(layer, h): answers.corrupt.z[layer, h]}))
    drops = answers.prefers(answers.clean.looks) - answers.prefers(patched.looks)
    return falls(
        "its output at the target is the corrupted prompt's",
        "the name movers' attention to the right answer, less that to the wrong one, falls",
        torch.stack([drops[layer, h] for layer, h in moving]).mean(0),
    )


ROLE = Role(
    name="S-inhibition",
    does="makes the name movers look at the right answer rather than the wrong one",
    evidence="task prompts",
    measure=s_inhibition,
    definition="fall of the name movers' attention from the target to the right answer less that to the wrong one, "
    "when their queries read the head's corrupted output",
    source="Wang et al. 2022 (arXiv 2211.00593), section 3.2",
    cut=0.05,
    cut_source="ours: the paper ranks heads",
    test=moves_attention,
)
