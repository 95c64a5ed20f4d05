"""What nodes write and read in token space: on the task's prompts, and by their weights alone."""

from acdc.interpret.draft import card, empty
from acdc.interpret.explanation import Explanation
from acdc.interpret.mlp_reads import mlp_reads
from acdc.interpret.ov_tokens import ov_tokens
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject
from acdc.interpret.writes import node_writes

__all__ = ["SECTION"]


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """Of the important nodes: tokens that their outputs raise and lower; also the tokens that heads copy, and those
    that MLPs read."""
    problem, graph = subject.problem, subject.problem.model.graph
    minus = problem.ablated.outputs
    written = node_writes(problem.model, problem.batch, subject.important, minus=minus, cache=problem.clean)
    cards = [card(graph, each.node, writes_up=list(each.up), writes_down=list(each.down)) for each in written]
    heads = ov_tokens(problem.model, subject.heads) if subject.heads else ()
    mlps = [node for node in subject.important if node.startswith("m")]
    read = {each.node: each.up for each in mlp_reads(problem.model, problem.clean, mlps, minus=minus)}
    read |= {each.head: each.copies for each in heads}
    return empty(nodes=[*cards, *(card(graph, node, reads=list(tokens)) for node, tokens in read.items())])


def cost(subject: Subject) -> float:
    """Products with the unembedding: a node's takes as many as a token's, a head's weights as many as its width."""
    model, batch = subject.problem.model, subject.problem.batch
    share = model.components.unembed.numel() / sum(parameter.numel() for parameter in model.hf.parameters())
    d_head = model.components.blocks[0].attention.W_O.shape[1]
    rows = len(subject.important) + 4 * d_head * len(subject.heads)
    embedded = 2 * len(model.components.unembed) / model.graph.n_layers  # through the first MLP, for heads and for MLPs
    return (share * rows + embedded) / (batch.n * batch.n_pos)


SECTION = Section("tokens", "which tokens nodes write, copy and read", 45, measure, cost)
