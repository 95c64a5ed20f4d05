"""Options of methods: every value, however hostile, is taken as what the signature says or refused in a short line."""

import math
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from acdc.discovery import METHODS, check_options, get_method
from acdc.errors import ACDCError, RunError, UnknownNameError
from acdc.options.ranges import Bytes, Range, Seed, Share, Word, checked

OPTIONS = [(method.name, option) for method in METHODS.values() for option in method.options]
NUMBERS = ["-1", "0", "1", "2", "1e9", "-0.0", "0.5", "1e309", "9" * 400, "9" * 5000, str(2**63), str(2**64), "1e-400"]
TEXTS = [
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "abc",
    "none",
    "true",
    "\x1b[2J\x07",
    "a\nb",
    "0x10",
    "\udcff",
    "🤖",
    "x" * 10**5,
]
VALUES: list[Any] = [*map(Word, NUMBERS + TEXTS), *NUMBERS, *TEXTS]
VALUES += [math.nan, math.inf, -math.inf, -1, 0, 1, 10**400, -(10**400), 2**63, 1e300, 5e-324, True, False, None, b"x"]
VALUES += [[], {}, (1,), object(), 1j, np.float64("nan"), np.int64(-1), np.float32(0.5), int, type("E", (), {})()]


@pytest.mark.parametrize(("method", "option"), OPTIONS)
def test_hostile_values_are_refused_in_a_line_or_taken_in_range(method: str, option: str) -> None:
    chosen = METHODS[method]
    for value in VALUES:
        try:
            taken = check_options(chosen, {option: value})[option]
        except ACDCError as error:
            message = str(error)
            assert len(message) < 500 and message.isprintable(), (value, message)
        else:
            assert taken is None or type(taken) in (bool, int, float, str)
            assert not isinstance(taken, float) or math.isfinite(taken)
            assert not isinstance(taken, int) or 0 <= taken <= 2**50


def test_every_number_of_a_method_has_bounds() -> None:
    """So that no option is left out above: only a threshold may be of any size and sign."""
    for method, option in OPTIONS:
        default = METHODS[method].options[option].default
        if isinstance(default, bool) or not isinstance(default, int):
            continue
        with pytest.raises(RunError, match=option):
            check_options(METHODS[method], {option: 2**63})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 10**9}, "steps must be a whole number of at least 1 and at most 1,000,000, not 1000000000"),
        ({"memory": -5}, "memory must be a whole number of at least 1"),
        ({"steps": Word("abc")}, "steps must be a whole number of at least 1 and at most 1,000,000 or none, not 'abc'"),
        ({"steps": Word("1.5")}, "steps must be a whole number"),
        ({"steps": 10**400}, r"not a number of about \S+ digits"),
        ({"faithfulness": Word("nan")}, "faithfulness must be a finite number, not nan"),
        ({"faithfulness": Word("0")}, "faithfulness must be a number of more than 0 and at most 1, not 0.0"),
        ({"quadrature": "Left"}, "unknown value of quadrature: 'Left'.* did you mean 'left'"),
        ({"n_edges": True}, "n_edges must be a whole number of at least 1 and at most 1,000,000,000 or none, not True"),
    ],
)
def test_messages_name_the_bound(options: dict[str, Any], message: str) -> None:
    with pytest.raises((RunError, UnknownNameError), match=message):
        check_options(METHODS["eap-ig-inputs"], options)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("edge-pruning", {"start": "eapp"}),
        ("eap", {"rules": "gmi"}),
        ("ensemble", {"members": "eap"}),
        ("ensemble", {"members": "eap,nope"}),
        ("degree-matched", {"of": "nope"}),
        ("acdc", {"senders": "latest"}),
        ("subnetwork-probing", {"l0_penalty": math.nan}),
        ("subnetwork-probing", {"lr": 0}),
        ("acdc", {"tau": -1}),
    ],
)
def test_what_is_refused_needs_no_model(method: str, options: dict[str, Any]) -> None:
    with pytest.raises(ACDCError):
        check_options(METHODS[method], options)


@pytest.mark.parametrize("alias", sorted(METHODS.aliases))
def test_other_tools_names_of_methods_are_taken(alias: str) -> None:
    assert get_method(alias).name == METHODS.aliases[alias] and alias not in METHODS


def test_words_are_read_as_what_is_wanted() -> None:
    found = check_options(
        METHODS["edge-pruning"],
        {"start": Word("none"), "patience": Word("none"), "steps": Word("7"), "lr": Word("1")},
    )
    assert (found["start"], found["patience"], found["steps"], found["lr"]) == ("none", None, 7, 1.0)
    assert type(found["start"]) is str and type(found["lr"]) is float
    rules = [check_options(METHODS["eap"], {"rules": Word(word)})["rules"] for word in ("none", "None", "gim")]
    assert rules == [None, None, "gim"], "where none of several may be taken, it is no text"
    with pytest.raises(RunError, match="must be a whole number"):  # text of a program is no number
        check_options(METHODS["edge-pruning"], {"steps": "7"})


@pytest.mark.parametrize(
    ("kind", "value", "taken"),
    [
        (Seed, 2**32 - 1, 2**32 - 1),
        (Share, 1, 1.0),
        (Share, np.float32(0.5), 0.5),
        (int | None, None, None),
        (Bytes | None, Word("none"), None),
        (Literal["a", "b"], Word("b"), "b"),
        (bool, Word("TRUE"), True),
        (Annotated[float, Range(0, 1, open_above=True)], 0, 0.0),
    ],
)
def test_values_come_back_plain(kind: Any, value: Any, taken: Any) -> None:
    found = checked("x", kind, value)
    assert found == taken and type(found) is type(taken)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Seed, 2**32), (Seed, -1), (Share, 1.01), (int, True), (int, 1.0), (float, "1"), (bool, 1), (str, 1), (int, None)],
)
def test_what_is_out_of_range_or_of_another_type_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(RunError, match="x must be"):
        checked("x", kind, value)
