"""Looking at one prompt from every side: prediction, logit lens, direct attribution, exact ablation, patching.

The lens and direct attribution are readings of one run, no interventions; ablation and patching are interventions.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import kind_of
from acdc.errors import counted
from acdc.interpret.debug.diagnosis import Diagnosis, Look, NodeReport, Restored, Said, StreamSays
from acdc.interpret.debug.question import Question
from acdc.interpret.direct import direct_attribution
from acdc.interpret.lenses import read_lens
from acdc.interpret.neutral import neutral_batch
from acdc.interpret.node_effects import final_without, prompt_losses
from acdc.interpret.patching_maps import NodeMap, node_maps
from acdc.interpret.patterns import attention_patterns
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.patching.ablation import everywhere
from acdc.patching.ablations.mean_all import mean_constants
from acdc.patching.problem import Problem
from acdc.progress import Progress, Tell
from acdc.prompts.tokens import pieces

__all__ = ["diagnose"]

TOP = 5  # tokens of a prediction
N_NODES = 5  # nodes that are named on each side
MOST = 400  # nodes that are ablated one by one; of larger models the ones that write most directly
HALF = 0.5  # of the difference
READABLE = 0.01  # probability from which on an answer is said to be read
ANY_TEXT = (
    "nodes that any text needs matter here too; with a corrupted prompt (corrupt, --corrupt) only those do that carry "
    "what tells the two prompts apart"
)


@torch.no_grad()
def diagnose(
    model: PatchableModel, question: Question, *, n_nodes: int = N_NODES, progress: Tell | None = None
) -> Diagnosis:
    """Find out why the model says what it says after one prompt.

    It takes a forward pass from a node's layer on for each head and MLP (of at most 400), and with a corrupted prompt
    a patching map of the residual stream.

    Args:
        n_nodes: How many nodes to name on each side.
        progress: Told how far it is.

    Raises:
        ModelError: The model's logits aren't finite, or its final norm's scale can't be held.
    """
    problem, ablation = _problem(model, question)
    direct = direct_attribution(model, problem.batch, cache=problem.clean)
    pushes = dict(zip(direct.terms, direct.values[:, 0].tolist(), strict=True))
    measured, note = _ablated(problem, pushes, progress)
    named = _named(pushes, measured, n_nodes)
    answer, wrong = (int(ids[0, 0]) for ids in (problem.batch.correct, problem.batch.wrong))
    logits = wide(problem.clean.logits)[0]
    p = logits.softmax(-1)
    streams = _streams(problem)
    twin = problem.batch.corrupt[0] if question.has_twin else problem.batch.corrupt[0, :0]
    return Diagnosis(
        model=model.name,
        prompt=tuple(pieces(model.tokenizer, problem.batch.clean[0].tolist())),
        corrupt=tuple(pieces(model.tokenizer, twin.tolist())),
        answer=_token(problem, answer),
        wrong=_token(problem, wrong),
        top=_said(problem, logits, TOP),
        corrupted_top=_corrupted(problem) if question.has_twin else (),
        p_answer=float(p[answer]),
        p_wrong=float(p[wrong]),
        rank_answer=int((logits > logits[answer]).sum()) + 1,
        rank_wrong=int((logits > logits[wrong]).sum()) + 1,
        logit_diff=float(logits[answer] - logits[wrong]),
        entropy=float(torch.special.entr(p).sum()),
        streams=streams,
        leads=_leads(streams, _token(problem, answer), _token(problem, wrong)),
        nodes=_reports(problem, pushes, measured, named),
        ablation=ablation,
        restored=_restored(problem, progress) if question.has_twin else (),
        notes=(*question.notes, *note, *(() if question.has_twin else (ANY_TEXT,))),
    )


def _problem(model: PatchableModel, question: Question) -> tuple[Problem, str]:
    """The prompt's problem, whose ablated outputs are those of its twin, or means over neutral text; and which."""
    if question.has_twin:
        return Problem.make(model, question.batch, metric="logit_diff"), "its output on the corrupted prompt"
    problem = Problem.make(model, question.batch, metric="logit_diff", ablation="zero")
    neutral = neutral_batch(model.tokenizer)
    if neutral is None:
        return problem, "zero (the tokenizer can't spell neutral text, whose mean would be taken)"
    means = mean_constants(model, neutral.to(model.device))
    told = f"its mean output over {counted(neutral.n, 'neutral sentence')}"
    return replace(problem, ablated=everywhere(means, problem.batch)), told


def _token(problem: Problem, token: int) -> str:
    return pieces(problem.model.tokenizer, [token])[0]


def _said(problem: Problem, logits: Float[Tensor, " vocab"], n: int) -> tuple[Said, ...]:
    best = wide(logits).softmax(-1)[: len(problem.model.tokenizer)].topk(n)
    texts = pieces(problem.model.tokenizer, best.indices.tolist())
    return tuple(Said(text, p) for text, p in zip(texts, best.values.tolist(), strict=True))


def _corrupted(problem: Problem) -> tuple[Said, ...]:
    from acdc.patching.activations import run

    return _said(problem, run(problem.model, problem.batch, problem.batch.corrupt).logits[0], TOP)


def _streams(problem: Problem) -> tuple[StreamSays, ...]:
    batch = problem.batch
    right, foil = (
        read_lens(problem.model, batch, by_position=False, answers=ids, top=1, cache=problem.clean)
        for ids in (batch.correct, batch.wrong)
    )
    return tuple(
        StreamSays(
            name,
            Said(*right.top(i, 0, -1)[0]),
            float(right.probability[i, 0, -1]),
            float(foil.probability[i, 0, -1]),
            int(right.rank[i, 0, -1]),
        )
        for i, name in enumerate(right.rows)
    )


def _leads(streams: Sequence[StreamSays], answer: str, wrong: str) -> tuple[str, str | None]:
    """Which answer leads at the end, and the first stream from which on it can be read and does without a break."""
    signs = [
        (stream.p_answer > stream.p_wrong) if max(stream.p_answer, stream.p_wrong) >= READABLE else None
        for stream in streams
    ]
    start = next(i for i in range(len(signs)) if len(set(signs[i:])) == 1)
    last = streams[-1]
    leader = answer if last.p_answer > last.p_wrong else wrong
    return leader, None if signs[-1] is None else streams[start].stream


def _ablated(
    problem: Problem, pushes: dict[str, float], progress: Tell | None
) -> tuple[dict[str, tuple[float, float, Said]], list[str]]:
    """Of each node that is ablated: its effect, the logit difference without it and what is said then; and a note."""
    nodes, note = [name for name in problem.model.graph.sources if name != "input"], list[str]()
    if len(nodes) > MOST:
        note.append(f"of {len(nodes):,} nodes the {MOST} that write most directly were ablated; others may matter too")
        nodes = sorted(nodes, key=lambda name: -abs(pushes[name]))[:MOST]
    clean = -float(prompt_losses(problem, problem.clean.final)[0])
    found = {}
    for done, name in enumerate(nodes, 1):
        final = final_without(problem, name)
        diff = -float(prompt_losses(problem, final)[0])
        said = _said(problem, problem.model.unembed(final[:, -1])[0], 1)[0]
        found[name] = (clean - diff, diff, said)
        if progress is not None:
            progress(Progress(done, len(nodes), stage="ablating", unit="node"))
    return found, note


def _named(pushes: dict[str, float], measured: dict[str, tuple[float, float, Said]], n: int) -> list[str]:
    """The nodes that write most towards each answer, and those whose ablation changes most, by the size of that."""
    written = sorted((name for name in pushes if name in measured), key=lambda name: pushes[name])
    strongest = sorted(measured, key=lambda name: -abs(measured[name][0]))[: 2 * n]
    named = dict.fromkeys([*strongest, *written[-n:], *written[:n]])
    return sorted(named, key=lambda name: -abs(measured[name][0]))


def _reports(
    problem: Problem,
    pushes: dict[str, float],
    measured: dict[str, tuple[float, float, Said]],
    named: list[str],
) -> tuple[NodeReport, ...]:
    graph = problem.model.graph
    looks = _looks(problem, [name for name in named if kind_of(name) == "head"])
    return tuple(
        NodeReport(
            node=name,
            kind=kind_of(name),
            layer=graph.layer_of(name),
            direct=pushes[name],
            effect=measured[name][0],
            logit_diff=measured[name][1],
            then=measured[name][2],
            looks=looks.get(name, ()),
        )
        for name in named
    )


def _looks(problem: Problem, heads: list[str], n: int = 3) -> dict[str, tuple[Look, ...]]:
    """Where each head looks from the prompt's end."""
    if not heads:
        return {}
    found = attention_patterns(problem.model, problem.batch, heads)
    looks = {}
    for head in heads:
        best = found.of(0, head)[-1].topk(min(n, len(found.tokens[0])))
        looks[head] = tuple(
            Look(position, found.tokens[0][position], share)
            for position, share in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        )
    return looks


def _restored(problem: Problem, progress: Tell | None) -> tuple[Restored, ...]:
    """Positions at which the clean residual stream, put into the corrupted run, restores at least half."""
    if progress is not None:
        progress(Progress(0, 0, stage="patching the corrupted run"))
    (found,) = node_maps(problem.model, problem.batch, sites="resid_pre", directions="denoising")
    if found.no_meaning is not None:
        return ()
    columns = [_restored_at(problem, found, column) for column in range(len(found.columns))]
    return tuple(each for each in columns if each is not None)


def _restored_at(problem: Problem, found: NodeMap, column: int) -> Restored | None:
    shares = found.values[:, column]
    rows = [row for row in range(len(shares)) if shares[row] >= HALF]
    if not rows:
        return None
    position = problem.batch.n_pos - len(found.columns) + column
    best = max(rows, key=lambda row: shares[row])
    token = _token(problem, int(problem.batch.clean[0, position]))
    return Restored(position, token, found.rows[rows[0]], found.rows[rows[-1]], found.rows[best], float(shares[best]))
