"""The page of features that tell two sets of prompts apart: their tests in a table, and a card for each."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from acdc.evaluation.confidence import Interval
from acdc.evaluation.numbers import p_value
from acdc.features.acting import Ablated, Contrast
from acdc.features.reading import FeatureReading
from acdc.files import write_atomically
from acdc.report.assets import assets
from acdc.report.cards import Card, ClaimView
from acdc.report.feature_cards import bare_card, with_reading
from acdc.report.page import environment
from acdc.report.table import Cell, Table
from acdc.report.text import number, share, token
from acdc.report.words import words
from acdc.version import __version__

__all__ = ["contrast_page", "write_contrast_page"]

EXAMPLES = 4  # prompts of a card
SETS = ("first", "second")


def write_contrast_page(
    path: str | Path,
    found: Contrast,
    record: Mapping[str, Any],
    reading: FeatureReading | None = None,
    ablated: tuple[Ablated, ...] | None = None,
) -> Path:
    """Write the page; an interrupted write leaves the old file whole.

    Raises:
        FileError: The file can't be written.
    """
    return write_atomically(path, contrast_page(found, record, reading, ablated).encode())


def contrast_page(
    found: Contrast,
    record: Mapping[str, Any],
    reading: FeatureReading | None = None,
    ablated: tuple[Ablated, ...] | None = None,
) -> str:
    """The page as HTML; everything that comes from a prompt or a name is escaped.

    Args:
        record: What was asked: `sets`, `n_prompts`, `dictionary`, `model`, `metric`, `notes`.
        reading: What was read of the dictionary's features; None: nothing.
        ablated: What ablating features does; None: that was not measured.
    """
    first, second = record["sets"]
    return (
        environment()
        .get_template("contrast.html")
        .render(
            title=f"{first} against {second}",
            record=record,
            found=found,
            answer=_answer(found, ablated),
            tables=[_table(found), *([_ablation_table(ablated, record)] if ablated else [])],
            cards=[_card(found, i, record, reading, ablated) for i in range(len(found.rows))],
            was_read=reading is not None,
            version=__version__,
            style=Markup(assets().style),
            policy=Markup(assets().policy),
        )
    )


def _answer(found: Contrast, ablated: tuple[Ablated, ...] | None) -> str:
    holding = [str(row.feature) for row in found.rows if row.holds]
    said = f"{len(holding)} of the {len(found.rows)} features that were tested tell the two apart"
    said += f": {', '.join(holding)}." if holding else "."
    if ablated is not None:
        mattering = [each.name for each in ablated if each.matters]
        said += f" Ablated, these change answers by more than a control does: {', '.join(mattering) or 'none'}."
    return said


def _table(found: Contrast) -> Table:
    heads = ("feature", "fires on first", "on second", "difference of shares", "difference of means", "p", "holds")
    rows = tuple(
        (
            Cell(f"feature {row.feature}", row.feature),
            Cell(share(row.first.fires), row.first.fires),
            Cell(share(row.second.fires), row.second.fires),
            Cell(_shown(row.fires), row.fires.value),
            Cell(_shown(row.difference), row.difference.value),
            Cell(p_value(row.p), row.p),
            Cell("yes" if row.holds else "no"),
        )
        for row in found.rows
    )
    return Table("features", "On held-out prompts", heads, rows)


def _ablation_table(ablated: tuple[Ablated, ...], record: Mapping[str, Any]) -> Table:
    what = f"change of {record['metric']}" if record["metric"] else "KL of the next token, nats"
    turned = ("made right, wrong",) if record["metric"] else ()
    heads = ("feature", "in", what, "control's", "next token changed", *turned, "p", "matters", "moves")
    rows = tuple(_ablation_cells(each) for each in ablated)
    return Table("ablated", "Ablated, on held-out prompts of the set in which it fires more", heads, rows)


def _ablation_cells(each: Ablated) -> tuple[Cell, ...]:
    own, control = each.judged_by
    changes = [here.kl if here.metric is None else here.metric for here in (own, control)]
    turned = () if own.metric is None else (Cell(f"{own.n_right}, {own.n_wrong}", own.n_right),)
    return (
        Cell(each.name),
        Cell(each.firing),
        *(Cell(_shown(change), change.value, title=each.control) for change in changes),
        Cell(f"{own.n_changed} of {own.n}", own.n_changed),
        *turned,
        Cell(p_value(each.p), each.p),
        Cell("yes" if each.matters else "no"),
        Cell(" ".join(f"{token(text)} {number(change, sign=True)}" for text, change in own.moved)),
    )


def _card(
    found: Contrast,
    i: int,
    record: Mapping[str, Any],
    reading: FeatureReading | None,
    ablated: tuple[Ablated, ...] | None,
) -> Card:
    """What the prompts say of a feature; then its rule and its texts, where it was read."""
    row, firing = found.rows[i], found.firing(i)
    more, less = (row.first, row.second) if row.in_first else (row.second, row.first)
    which, other = record["sets"] if row.in_first else reversed(record["sets"])
    at = "at the last token of" if firing.where == "last" else "on"
    sentence = f"It fires {at} {share(more.fires)} of the prompts of {which}, and {share(less.fires)} of {other}."
    card = bare_card(f"feature-{row.feature}", f"feature {row.feature}", "feature", sentence, _facts(found, i))
    peaks = firing.peaks(i)
    examples = firing.examples(i, EXAMPLES)
    largest = max((max(window.activations) for window in examples), default=0.0)
    claims = [ClaimView("differs", p_value(row.p), "holds" if row.holds else "failed", "p on held-out prompts")]
    for each in ablated or ():
        if each.features == (row.feature,):
            verdict = "holds" if each.matters else "failed"
            claims.append(ClaimView("matters", p_value(each.p), verdict, f"p of its ablation beside {each.control}"))
    card = replace(
        card,
        lists=(("is largest on", tuple((token(text), share(part)) for text, part in peaks)),) if peaks else (),
        examples=tuple(tuple(words(window, largest)) for window in examples),
    )
    read = card if reading is None else with_reading(card, reading, row.feature)
    return replace(
        read,
        claims=(*claims, *read.claims),
        lists=(*card.lists, *(read.lists if reading is not None else ())),
        examples=(*card.examples, *(read.examples if reading is not None else ())),
    )


def _facts(found: Contrast, i: int) -> Iterator[tuple[str, str, str]]:
    row = found.rows[i]
    yield "difference of shares", _shown(row.fires), "of prompts on which it fires, first minus second"
    yield "difference of means", _shown(row.difference), "of what is compared, first minus second"


def _shown(found: Interval) -> str:
    ends = "" if found.low is None else f" [{number(found.low, sign=True)}, {number(found.high, sign=True)}]"
    return f"{number(found.value, sign=True)}{ends}"
