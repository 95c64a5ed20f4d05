"""The built-in tasks: what their prompts look like, and that equal seeds give equal ones."""

import random
import re
from functools import lru_cache
from pathlib import Path

import pytest
import tokenizers
import transformers
from acdc_tasks import greater_than, ioi

from acdc.errors import ACDCError, TaskError
from acdc.task import Task, load_task, registered_tasks
from tests.tiny import NumberTokenizer

GPT2 = Path(__file__).parents[2].parent / "shared" / "models" / "gpt2-tokenizer"
SMALL = ("ioi", "greater-than", "induction", "agreement")  # what the words of acdc-small can say
TRAINED = (
    "docstring",
    "gendered-pronoun",
    "capitals",
    "agreement",
    "colored-objects",
    "arithmetic",
    "multiple-choice",
    "induction",
)
NAMES = tuple(dict.fromkeys(SMALL + TRAINED))
SAYS = {"acdc-small": SMALL, "acdc-tasks": TRAINED, "gpt2": NAMES}
CASES = [(place, name) for place, names in SAYS.items() for name in names]


@lru_cache
def tokenizer_of(place: str):
    from transformers import AutoTokenizer

    from acdc.zoo import zoo_path

    folder = GPT2 if place == "gpt2" else zoo_path(place)
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(params=["acdc-small", "gpt2"])
def tokenizer(request):
    return tokenizer_of(request.param)


def pairs_of(task: Task, tokenizer, n: int = 40, seed: int = 0):
    return task.pairs(tokenizer, n, random.Random(seed))


def test_the_built_in_tasks_are_found_by_their_entry_points() -> None:
    tasks = registered_tasks()
    assert set(NAMES) <= set(tasks)
    for name in NAMES:
        assert tasks[name].name == name
        assert tasks[name].summary
        assert "arXiv" in tasks[name].source


@pytest.mark.parametrize(("place", "name"), CASES)
def test_equal_seeds_give_equal_batches_of_the_asked_size(place: str, name: str) -> None:
    task, tokenizer = load_task(name), tokenizer_of(place)
    for held_out in (False, True):
        batches = [task.batch(tokenizer, 30, seed, held_out=held_out) for seed in (1, 1, 2)]
        assert batches[0].n == 30
        assert batches[0].fingerprint == batches[1].fingerprint != batches[2].fingerprint


@pytest.mark.parametrize("name", ["ioi", "induction"])
def test_prompts_of_one_batch_have_several_lengths(name: str, tokenizer) -> None:
    assert len(load_task(name).batch(tokenizer, 30).lengths.unique()) > 1


def names_in(text: str) -> list[str]:
    return [word for word in re.findall(r"[A-Za-z]+", text) if word in ioi.NAMES]


@pytest.mark.parametrize("order", ["ABBA", "BABA"])
def test_ioi_names_stand_in_the_order_that_is_asked_for(order: str, tokenizer) -> None:
    for pair in pairs_of(load_task("ioi", order=order), tokenizer):
        first, second, subject = names_in(pair.clean)
        answer, wrong = (side[0].strip() for side in (pair.correct, pair.wrong))
        assert (first, second, subject) == ((answer, wrong, wrong) if order == "ABBA" else (wrong, answer, wrong))


def test_ioi_corruptions_change_what_they_say(tokenizer) -> None:
    for pair in pairs_of(load_task("ioi"), tokenizer):
        assert len({*names_in(pair.clean), *names_in(pair.corrupt)}) == 5, "abc: three other names, all different"
    for pair in pairs_of(load_task("ioi", corruption="s2-io-flip"), tokenizer):
        clean, corrupt = names_in(pair.clean), names_in(pair.corrupt)
        assert clean[:2] == corrupt[:2]
        assert {clean[2], corrupt[2]} == set(clean[:2])
    for pair in pairs_of(load_task("ioi", corruption="random-names"), tokenizer):
        clean, corrupt = names_in(pair.clean), names_in(pair.corrupt)
        assert not set(clean) & set(corrupt)
        assert clean.index(clean[2]) == corrupt.index(corrupt[2])


def test_greater_than_counts_later_years_as_right(tokenizer) -> None:
    for pair in pairs_of(load_task("greater-than"), tokenizer):
        century, start, again = re.search(r"year (\d\d)(\d\d) to the year (\d\d)$", pair.clean).groups()
        assert century == again
        assert pair.corrupt == pair.clean.replace(century + start, century + "01")
        assert [int(year) for year in pair.correct] == list(range(int(start) + 1, 100))
        assert [int(year) for year in pair.wrong] == list(range(int(start) + 1))


@pytest.mark.parametrize("corruption", ["random", "first-half"])
def test_induction_repeats_and_its_corruption_does_not(corruption: str, tokenizer) -> None:
    for pair in pairs_of(load_task("induction", corruption=corruption, length=6), tokenizer):
        clean, corrupt, repeated = list(pair.clean), list(pair.corrupt), len(pair.clean) - 6
        assert clean[6:] == clean[:repeated]
        assert list(pair.correct) == [clean[repeated]]
        assert len(set(corrupt)) == len(corrupt)
        assert not set(corrupt[:6]) & set(clean)
        assert (corrupt[6:] == clean[6:]) == (corruption == "first-half")


def test_the_answer_of_induction_stands_anywhere_but_behind_the_first_token(tokenizer) -> None:
    """Models attend to the first token whatever it is: what is looked for must not be there."""
    places = set()
    for pair in pairs_of(load_task("induction", length=6), tokenizer, n=80):
        cue, answer = pair.clean.index(pair.clean[-1]), pair.clean.index(pair.correct[0])
        assert answer == cue + 1 and cue >= 1
        places.add(answer)
    assert places == {2, 3, 4, 5}


def byte_level(pattern: str) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer of bytes, of words and of numbers of up to three digits, that splits digits by this pattern."""
    words = sorted({word for word in re.findall(r"\w+", f"{greater_than.TEMPLATE} {' '.join(greater_than.NOUNS)}")})
    pieces = [f"Ġ{word}" for word in words] + [str(i) for i in range(2000)]
    pieces += [f"{i:02d}" for i in range(10)] + [f"{i:03d}" for i in range(100)]
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys([*sorted(alphabet), *pieces]))}
    core = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="!", continuing_subword_prefix=""))
    pre = tokenizers.pre_tokenizers
    split = pre.Split(tokenizers.Regex(pattern), "isolated")
    core.pre_tokenizer = pre.Sequence([split, pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    core.decoder = tokenizers.decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core)


@pytest.mark.parametrize(
    ("digits", "pattern", "end", "split"),
    [
        ("two", None, "year 17", ["Ġ17", "32"]),
        ("one", r" ?[A-Za-z]+|\d|\s+", "year 173", ["Ġ", "1", "7", "3", "2"]),
        ("one", r" ?[A-Za-z]+|\d{1,3}|\s+", "year 173", ["Ġ", "173", "2"]),
    ],
)
def test_greater_than_asks_for_the_next_token_however_years_are_split(digits, pattern, end, split) -> None:
    """Two digits as GPT-2, one as SmolLM and Llama 3: the answer goes on as the tokenizer writes the year."""
    tokenizer = byte_level(pattern) if pattern else tokenizer_of("gpt2")
    assert tokenizer.tokenize(" 1732") == split
    pairs = pairs_of(load_task("greater-than"), tokenizer)
    assert pairs == pairs_of(load_task("greater-than", digits=digits), tokenizer), "found by itself"
    for pair in pairs:
        start = re.search(r"year (\d{4}) to", pair.clean)[1]
        given = pair.clean.rpartition("year ")[2]
        assert given == start[: len(end.removeprefix("year "))]
        assert pair.corrupt == pair.clean.replace(f"year {start}", f"year {start[:2]}01")
        assert pair.correct and all(int(given + answer) > int(start) for answer in pair.correct)
        assert pair.wrong and all(int(given + answer) <= int(start) for answer in pair.wrong)
        assert len({*pair.correct, *pair.wrong}) == (100 if digits == "two" else 10), "every digit is right or wrong"
        for answer in (*pair.correct, *pair.wrong):
            whole = tokenizer.tokenize(pair.clean + answer)
            assert whole[:-1] == tokenizer.tokenize(pair.clean) or digits == "two", "GPT-2 has a token ' 1600'"
    for held_out in (False, True):
        assert load_task("greater-than").batch(tokenizer, 10, held_out=held_out).n == 10
    with pytest.raises(TaskError, match="greater-than needs a tokenizer"):
        load_task("greater-than", digits="one" if digits == "two" else "two").batch(tokenizer, 3)


class DigitTokenizer(NumberTokenizer):
    """Every character is a token."""

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [ord(c) % 50 for c in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(i) for i in ids)

    all_special_ids: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("ioi", {}, "needs first names that are single tokens .* at least 5; the tokenizer of 'numbers' has 0"),
        ("greater-than", {"digits": "two"}, r"splits a year into two two-digit tokens .* ' 1732' into \["),
        ("induction", {"length": 40}, "needs 120 tokens to draw from"),
        ("docstring", {}, "needs argument names .* at least 10; .* has 0"),
        ("gendered-pronoun", {}, "needs names of men that are single tokens .* at least 1; .* has 0"),
        ("capitals", {}, "needs countries of equally many tokens.* at least 2; .* has 0"),
        ("agreement", {}, "needs nouns in two forms .* at least 3; .* has 0"),
        ("colored-objects", {}, "needs colours that are single tokens .* at least 6; .* has 0"),
        ("arithmetic", {"result": "one-token"}, r"splits '47\+35=82' into \[.*result=first-token"),
        ("multiple-choice", {}, "needs colours that are single tokens .* at least 4; .* has 0"),
    ],
)
def test_a_tokenizer_that_can_t_express_a_task_is_told(spec: str, options: dict, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_task(spec, **options).batch(DigitTokenizer(), 3)


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("ioi", {"corruption": "none"}),
        ("ioi", {"order": "AABB"}),
        ("induction", {"corruption": "abc"}),
        ("induction", {"length": 2}),
        ("greater-than", {"digits": "four"}),
        ("docstring", {"corruption": "abc"}),
        ("gendered-pronoun", {"corruption": "abc"}),
        ("capitals", {"corruption": "abc"}),
        ("agreement", {"corruption": "abc"}),
        ("agreement", {"distractor": "none"}),
        ("colored-objects", {"corruption": "abc"}),
        ("arithmetic", {"corruption": "abc"}),
        ("arithmetic", {"operation": "division"}),
        ("arithmetic", {"result": "last-token"}),
        ("multiple-choice", {"corruption": "abc"}),
        ("multiple-choice", {"letters": "greek"}),
    ],
)
def test_options_out_of_range_are_refused(spec: str, options: dict) -> None:
    with pytest.raises(ACDCError, match=f"{spec}"):
        load_task(spec, **options)
