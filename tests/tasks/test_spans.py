"""The built-in tasks' spans hold what their names say, in every tokenizer that can write the task."""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pytest
import transformers

from acdc.errors import TaskError
from acdc.models import PatchableModel
from acdc.models.packaged import PACKAGED
from acdc.task import load_task, registered_tasks
from acdc.zoo import zoo_path
from tests.tasks.test_builtin import GPT2

Texts = dict[str, str]  # of each span of a prompt, what it says, the clean side's
Prompt = tuple[Texts, list[str], list[str]]  # with its right and wrong answers
ZOO = ("acdc-small", "acdc-tasks", "acdc-questions", "acdc-arithmetic")
COMPILED = ("chain", "reverse", "brackets", "either", "frac-prevs", "suppression")
PLANTED = ("neighbor", "recall")
SMOLLM2 = pytest.param(
    "smollm2",
    marks=[
        pytest.mark.real,
        pytest.mark.skipif(not PACKAGED["smollm2"].installed, reason=PACKAGED["smollm2"].command),
    ],
)


@lru_cache
def tokenizer_of(place: str) -> Any:
    if place == "smollm2":
        return PatchableModel.from_pretrained("smollm2").tokenizer
    if place == "gpt2" and not GPT2.is_dir():
        pytest.skip("no copy of GPT-2's tokenizer beside the repository")
    return transformers.AutoTokenizer.from_pretrained(GPT2 if place == "gpt2" else zoo_path(place))


def prompts(name: str, place: str, **options: str) -> list[Prompt]:
    """What each span of some prompts says; and that no token was left out or told twice."""
    tokenizer = tokenizer_of(place)
    try:
        batch = load_task(name, **options).batch(tokenizer, 12)
    except TaskError as error:
        if "span '" in str(error):
            raise
        pytest.skip(f"{place} can't write {name}")
    found: list[Prompt] = []
    assert batch.named is not None
    for ids, spans, real, *answers in zip(
        batch.clean, batch.named.ids, batch.attention, batch.correct, batch.wrong, strict=True
    ):
        texts = {span: tokenizer.decode(ids[real & (spans == i)]).strip() for i, span in enumerate(batch.named.names)}
        found.append((texts, *([tokenizer.decode([i]).strip() for i in side if i >= 0] for side in answers)))
    return found


def is_ioi(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    return [spans["IO"]] == right and [spans["S1"]] == [spans["S2"]] == wrong and spans["end"] == "to"


def is_greater_than(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    head, tail = ("XX", "YY") if "YY" in spans else ("XXY", "Y")
    return all(int(year) > int(spans[tail]) for year in right) and spans[head].replace(" ", "").endswith(spans["end"])


def is_induction(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    return spans["A"] == spans["end"] and [spans["B"]] == right


def is_docstring(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    return (
        [spans["C_def"]] == right
        and spans["A_def"] == spans["A_doc"]
        and spans["B_def"] == spans["B_doc"]
        and {spans["A_def"], spans["B_def"], spans["D_def"]} <= set(wrong)
        and spans["end"].endswith("param")
    )


def is_pronoun(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    return spans["name"][0].isupper() and " " not in spans["name"] and right[0] in ("he", "she")


def is_capital(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    from acdc_tasks.capitals import COUNTRIES

    return dict(COUNTRIES)[spans["country"]] == right[0] and spans["relation"] == "capital" and spans["end"] == "is"


def is_agreement(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    from acdc_tasks.agreement import LINKS

    plural = spans["subject"].endswith("s")
    return spans["link"] in LINKS and ("are" in right) == plural and spans["rest"] == "the"


def is_colored(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    others = set(spans["other-colors"].split())
    return [spans["color"]] == right and others <= set(wrong) and spans["object"] == spans["asked"]


def is_arithmetic(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    value = str(int(spans["first"]) + int(spans["second"]))
    return value.startswith(right[0]) and (spans["sign"], spans["end"]) == ("+", "=")


def is_choice(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    letters = set(spans["other-letters"].replace(" ", "").split(".")) - {""}
    return [spans["letter"].rstrip(" .")] == right and spans["color"] == spans["choice"] and letters <= set(wrong)


def is_chain(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    ways = [spans["end"], *(spans[f"to{k}"] for k in range(1, 5))]
    starts = [spans[f"from{k}"] for k in range(1, 5)]
    return [way[0] for way in pairwise(ways)] == starts and ways[-1:] == right


def is_reverse(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    return [spans["copied"]] == right


def is_bracket(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    return set(spans["brackets"]) <= set("() ") and spans["end"] == "?"


def is_either(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    return (spans["equals"], spans["bang"]) == ("=", "!")


def is_share(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    return " " not in spans["end"] and len(spans["letters"].split()) >= 2


def is_neighbor(spans: Texts, right: list[str], wrong: list[str]) -> bool:
    return spans["sign"] in "+-" and len(spans["first"]) == 1 and len(spans["rest"].split()) >= 2


CHECKS: dict[str, Callable[[Texts, list[str], list[str]], bool]] = {
    "ioi": is_ioi,
    "greater-than": is_greater_than,
    "induction": is_induction,
    "docstring": is_docstring,
    "gendered-pronoun": is_pronoun,
    "capitals": is_capital,
    "agreement": is_agreement,
    "colored-objects": is_colored,
    "arithmetic": is_arithmetic,
    "multiple-choice": is_choice,
    "chain": is_chain,
    "reverse": is_reverse,
    "brackets": is_bracket,
    "either": is_either,
    "frac-prevs": is_share,
    "neighbor": is_neighbor,
    "recall": is_induction,
    "suppression": is_induction,
}
OPTIONS: dict[str, list[dict[str, str]]] = {
    "ioi": [{"corruption": "s2-io-flip"}, {"order": "BABA", "corruption": "random-names"}],
    "docstring": [{"corruption": "random-def"}, {"corruption": "random-def-doc"}],
    "capitals": [{"corruption": "other-relation"}],
    "gendered-pronoun": [{"corruption": "no-name"}],
    "colored-objects": [{"corruption": "absent-object"}, {"corruption": "random-colors"}],
    "multiple-choice": [{"corruption": "position-and-letter"}, {"letters": "random"}],
    "agreement": [{"corruption": "other-subject"}],
}


def test_every_built_in_task_names_spans() -> None:
    built_in = {name for name, kind in registered_tasks().items() if kind.__module__.startswith("acdc_tasks")}
    assert set(CHECKS) == built_in


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in (*COMPILED, *PLANTED)])
@pytest.mark.parametrize("place", [*ZOO, "gpt2", SMOLLM2])
def test_spans_hold_what_their_names_say(name: str, place: str) -> None:
    for options in ({}, *OPTIONS.get(name, [])):
        for prompt in prompts(name, place, **options):
            assert CHECKS[name](*prompt), (options, prompt)


@pytest.mark.parametrize("name", [*COMPILED, *PLANTED])
def test_so_do_those_of_the_tasks_of_known_models(name: str) -> None:
    for prompt in prompts(name, load_task(name).default_model):
        assert CHECKS[name](*prompt), prompt
