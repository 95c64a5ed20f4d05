"""A diagnosis in plain sentences."""

from collections.abc import Iterator

from acdc.interpret.debug.diagnosis import Diagnosis, NodeReport, Restored, Said

__all__ = ["told"]

TIE = 0.1  # logits below which two answers are nearly a tie: probabilities that differ by a tenth
NAMED = 4
READS = (
    "the logit lens and direct writing are readings, no interventions: what is read early need not be used, and what a "
    "node does through later ones is in its ablation alone"
)


def told(found: Diagnosis) -> str:
    """All of it, a paragraph a question."""
    parts = [
        _opening(found),
        _short(found),
        "\n".join(_says(found)),
        "\n".join(_layers(found)),
        "\n".join(_writes(found)),
        "\n".join(_without(found)),
        "\n".join(_restores(found)),
        "\n".join(f"Note: {note}." for note in (*found.notes, READS)),
    ]
    return "\n\n".join(part for part in parts if part)


def _opening(found: Diagnosis) -> str:
    shown = "".join(f"|{_visible(token)}" for token in found.prompt)
    twin = f"\ncorrupted: {''.join(f'|{_visible(token)}' for token in found.corrupt)}|" if found.corrupt else ""
    return f"{found.model} after {shown}|{twin}"


def _short(found: Diagnosis) -> str:
    """The answer in a few sentences."""
    first = found.answer if found.logit_diff >= 0 else found.wrong
    second = found.wrong if found.logit_diff >= 0 else found.answer
    tie = ", though nearly a tie" if abs(found.logit_diff) < TIE else ""
    text = f"In short: it prefers {first!r} to {second!r}{tie}."
    strongest = [node for node in found.nodes if node.effect is not None][:3]
    if strongest:
        text += f" What matters most is {', '.join(_named(node) for node in strongest)}."
    if found.restored:
        carried = [f"{_visible(each.token)!r} in {_streams(each)}" for each in found.restored]
        text += f" What tells the two prompts apart is carried at {', then at '.join(carried)}."
    return text


def _named(node: NodeReport) -> str:
    look = f" (looks at {_visible(node.looks[0].token)!r}, {node.looks[0].attention:.0%})" if node.looks else ""
    return f"{node.node}{look}"


def _streams(each: Restored) -> str:
    """The residual streams before these layers; `final` is the one behind the last."""
    if each.first == each.last:
        return "the last residual stream" if each.first == "final" else f"layer {each.first}"
    return f"layers {each.first} to {'the end' if each.last == 'final' else each.last}"


def _says(found: Diagnosis) -> Iterator[str]:
    yield f"It says {_list(found.top)}; entropy {found.entropy:.2f} nats."
    gap = f"logit difference {found.logit_diff:+.2f}"
    of = f"{found.answer!r} has {found.p_answer:.1%} (rank {found.rank_answer:,})"
    against = f"{found.wrong!r} {found.p_wrong:.1%} (rank {found.rank_wrong:,})"
    yield f"Of the two, {of}, {against}; {gap}."
    if found.corrupted_top:
        yield f"After the corrupted prompt it says {_list(found.corrupted_top)}."


def _layers(found: Diagnosis) -> Iterator[str]:
    """Where the reading changes: the first stream of each most probable token, and who leads from where on."""
    leader, start = found.leads
    if start is None:
        yield "Layer by layer (logit lens at the last token): neither answer can be read (1%) anywhere near the end."
    else:
        yield (
            f"Layer by layer (logit lens at the last token): from {start} on an answer can be read (1%), and "
            f"{leader!r} leads."
        )
    last = None
    for stream in found.streams:
        if stream.top.token != last or stream is found.streams[-1]:
            last = stream.top.token
            yield (
                f"  {stream.stream:<14} says {_visible(stream.top.token)!r} {stream.top.p:.0%}; {found.answer!r} "
                f"{stream.p_answer:.1%} (rank {stream.rank:,}), {found.wrong!r} {stream.p_wrong:.1%}"
            )


def _writes(found: Diagnosis) -> Iterator[str]:
    ordered = sorted(found.nodes, key=lambda node: -node.direct)
    for answer, nodes in (
        (found.answer, [node for node in ordered if node.direct > 0]),
        (found.wrong, [node for node in ordered[::-1] if node.direct < 0]),
    ):
        if nodes:
            yield f"Towards {answer!r} write directly, in logits of the difference:"
            yield from (f"  {node.node:<8} {abs(node.direct):.2f}{_looks(node)}" for node in nodes[:NAMED])


def _looks(node: NodeReport) -> str:
    if not node.looks:
        return ""
    looked = ", ".join(f"{_visible(look.token)!r} ({look.attention:.0%})" for look in node.looks)
    return f"  looks at {looked}"


def _without(found: Diagnosis) -> Iterator[str]:
    nodes = [node for node in found.nodes if node.effect is not None][: 2 * NAMED]
    if not nodes:
        return
    yield f"Exact effects: each node's output is replaced at all positions by {found.ablation}."
    for node in nodes:
        assert node.effect is not None and node.then is not None and node.logit_diff is not None
        way = "falls" if node.effect > 0 else "rises"
        change = f"the difference {way} from {found.logit_diff:+.2f} to {node.logit_diff:+.2f}"
        says = f"it says {_visible(node.then.token)!r} {node.then.p:.0%}"
        yield f"  without {node.node:<8} {change}, and {says}{_looks(node)}"


def _restores(found: Diagnosis) -> Iterator[str]:
    if not found.corrupt:
        return
    if not found.restored:
        yield "No single residual stream, put into the corrupted run, brings back half of the logit difference."
        return
    yield "Put into the corrupted run, the clean residual stream brings back at least half of the logit difference"
    for each in found.restored:
        most = f"{each.most:.0%} at {'the end' if each.best == 'final' else f'layer {each.best}'}"
        yield f"  at {_visible(each.token)!r} (token {each.position}): before {_streams(each)}, most {most}"


def _list(said: tuple[Said, ...]) -> str:
    return ", ".join(f"{_visible(each.token)!r} {each.p:.0%}" for each in said)


def _visible(token: str) -> str:
    return token.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
