"""What nodes write and read in token space: on the task's prompts, and by their weights alone."""

from acdc.interpret.draft import card, empty
from acdc.interpret.explanation import Explanation
from acdc.interpret.ov_tokens import ov_tokens
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject
from acdc.interpret.writes import node_writes

__all__ = ["SECTION"]


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """Of the important nodes: tokens that their outputs raise and lower; of heads also the tokens that they copy."""
    problem, graph = subject.problem, subject.problem.model.graph
    minus = problem.ablated.outputs
    written = node_writes(problem.model, problem.batch, subject.important, minus=minus, cache=problem.clean)
    cards = [card(graph, each.node, writes_up=list(each.up), writes_down=list(each.down)) for each in written]
    heads = ov_tokens(problem.model, subject.heads) if subject.heads else ()
    return empty(nodes=[*cards, *(card(graph, each.head, reads=list(each.copies)) for each in heads)])


def cost(subject: Subject) -> float:
    """Products with the unembedding: a node's takes as many as a token's, a head's weights as many as its width."""
    model, batch = subject.problem.model, subject.problem.batch
    share = model.components.unembed.numel() / sum(parameter.numel() for parameter in model.hf.parameters())
    d_head = model.components.blocks[0].attention.W_O.shape[1]
    rows = len(subject.important) + 4 * d_head * len(subject.heads)
    return share * rows / (batch.n * batch.n_pos)


SECTION = Section("tokens", "which tokens nodes write and copy", 45, measure, cost)
