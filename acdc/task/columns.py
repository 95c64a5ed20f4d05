"""Which column of a data file is which field of a pair, and a pair made of a row."""

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from acdc.errors import TaskError, printable, shown, unknown_name
from acdc.prompts.messages import is_messages
from acdc.prompts.pairs import PromptPair

__all__ = ["FIELDS", "KNOWN", "Columns", "parsed_columns"]

FIELDS = ("clean", "corrupt", "answer", "wrong", "target", "split")
KNOWN = {  # what the field's data sets call them; the first one that a file has is taken
    "clean": ("clean", "clean_prompt", "clean_prefix", "clean_text", "prompt"),
    "corrupt": (
        *("corrupt", "corrupted", "corrupt_prompt", "corrupted_prompt", "patch_prefix", "corrupted_prefix"),
        *("corrupted_text", "counterfactual", "counterfactual_prompt"),
    ),
    "answer": (
        *("answer", "answers", "correct", "correct_answer", "correct_answers", "clean_answer", "clean_answers"),
        *("correct_idx", "correct_id", "country_idx", "clean_answer_idx", "answers_idx", "answer_idx", "answer_ids"),
    ),
    "wrong": (
        *("wrong", "wrong_answer", "wrong_answers", "incorrect", "incorrect_answer", "incorrect_answers"),
        *("patch_answer", "corrupted_answer", "corrupted_answers", "incorrect_idx", "wrong_idx", "incorrect_id"),
        *("corrupted_country_idx", "corrupted_answer_idx", "corrupted_answers_idx", "wrong_ids"),
    ),
    "target": ("target",),
    "split": ("split",),
}
OF_RUNS = {"clean": "clean_ids", "corrupt": "corrupt_ids", "answer": "correct_ids", "wrong": "wrong_ids"}
IDS = ("_idx", "_id", "_ids")  # how columns of token ids end
CHOICES, KEY = "choices", "answerKey"  # of MIB's data sets
HELD_OUT = ("held-out", "held_out", "test", "validation", "valid", "dev")


def parsed_columns(given: str | Mapping[str, str] | None) -> dict[str, str]:
    """Columns by field, as they are given: `clean=a,corrupt=b`, or a dictionary.

    Raises:
        TaskError: It isn't of this form, or a field is given twice.
        UnknownNameError: There is no such field.

    >>> parsed_columns("clean=text,wrong=foil")
    {'clean': 'text', 'wrong': 'foil'}
    """
    if isinstance(given, str):
        pairs = [tuple(part.strip() for part in word.partition("=")[::2]) for word in given.split(",")]
    else:
        pairs = list((given or {}).items())
    found: dict[str, str] = {}
    for field, column in pairs:
        if not (isinstance(field, str) and isinstance(column, str) and field and column):
            raise TaskError(f"columns must be like clean=text,corrupt=other, not {printable(repr(given), 80)}")
        if field not in FIELDS:
            raise unknown_name("field of a pair", field, FIELDS)
        if field in found:
            raise TaskError(f"columns name the field {field!r} twice")
        found[field] = column
    return found


@dataclass(frozen=True)
class Columns:
    """The columns of a file's fields.

    Attributes:
        of: Column by field; a dot leads into an object: `abc_counterfactual.prompt`.
        choices: Whether the answers are among the row's choices, as MIB has them.
        space: Whether a space is put before answers that have none.
    """

    of: Mapping[str, str]
    choices: bool = False
    space: bool = False

    @classmethod
    def find(cls, names: Iterable[str], given: Mapping[str, str], *, space: bool = False) -> "Columns":
        """The columns that are given, and the field's usual names for the others.

        Raises:
            TaskError: A column isn't there, or nothing is known to be the clean or corrupted prompts or the answers.
        """
        names = list(names)
        for field, column in given.items():
            if column.partition(".")[0] not in names and column not in names:
                raise TaskError(f"there is no column {printable(column, 60)!r} for {field}: it has {_listed(names)}")
        if not given and set(OF_RUNS.values()) <= set(names):
            return cls({**OF_RUNS, "target": "target", **({"split": "split"} if "split" in names else {})})
        found = {field: next((name for name in known if name in names), "") for field, known in KNOWN.items()}
        found = {field: column for field, column in {**found, **given}.items() if column}
        choices = "answer" not in found and {CHOICES, KEY} <= set(names)
        if "corrupt" not in found:
            others = [name for name in names if name.endswith("_counterfactual")]
            if len(others) > 1:
                raise TaskError(f"several counterfactuals are there: say which, like columns corrupt={others[0]}")
            if others:
                found["corrupt"] = others[0]
        needed = [field for field in ("clean", "corrupt", "answer") if field not in found]
        if choices and "answer" in needed:
            needed.remove("answer")
        if needed:
            raise TaskError(
                f"it isn't known which columns hold {', '.join(needed)}; say it (--columns {needed[0]}=NAME,..., "
                f"columns=...): the file has {_listed(names)}"
            )
        if found.get("answer") == "correct_idx" and "wrong" not in found and "answer" not in given:
            raise TaskError(
                "a column correct_idx without incorrect_idx holds years in EAP-IG's data, not token ids; if these are "
                "token ids, say so (--columns answer=correct_idx)"
            )
        return cls(found, choices, space)

    def __str__(self) -> str:
        told = [f"{field}={column}{' (token ids)' if _is_ids(column) else ''}" for field, column in self.of.items()]
        return ", ".join([*told, *(["answers among choices"] if self.choices else [])])

    def pair(self, row: Mapping[str, Any]) -> PromptPair:
        """The pair of a row.

        Raises:
            TaskError: A field isn't there, or not of its kind.
        """
        correct, wrong = self._among_choices(row) if self.choices else ([], [])
        if "answer" in self.of:
            correct = _answers(_value(row, self.of["answer"]), self.of["answer"])
        if "wrong" in self.of:
            wrong = _answers(_value(row, self.of["wrong"]), self.of["wrong"])
        target = _value(row, self.of["target"]) if "target" in self.of else -1
        return PromptPair(
            clean=self._prompt(row, "clean"),
            corrupt=self._prompt(row, "corrupt"),
            correct=[self._spaced(answer) for answer in correct],
            wrong=[self._spaced(answer) for answer in wrong],
            target=-1 if target in (None, "") else _whole(target, "target"),
        )

    def has_wrong(self, row: Mapping[str, Any]) -> bool:
        """Whether the row lists wrong answers."""
        return self.choices or bool("wrong" in self.of and _answers(_value(row, self.of["wrong"]), "wrong"))

    def is_held_out(self, row: Mapping[str, Any]) -> bool:
        """Whether the file itself says that the row is to judge a circuit."""
        return "split" in self.of and str(_value(row, self.of["split"])).lower() in HELD_OUT

    def _prompt(self, row: Mapping[str, Any], field: str) -> Any:
        value = _value(row, self.of[field])
        if isinstance(value, dict):  # MIB's counterfactuals are rows of their own
            value = value.get("prompt")
        if _is_ids(self.of[field]):
            return _ids(value, self.of[field])
        if value in (None, ""):
            raise TaskError(f"{field} is empty (column {self.of[field]!r})")
        listed = _listing(value)
        return listed if is_messages(listed) else value

    def _among_choices(self, row: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        choices, key = _listing(row.get(CHOICES)), row.get(KEY)
        if isinstance(choices, dict):  # as ARC has them
            labels, choices = list(choices.get("label", [])), list(choices.get("text", []))
            key = labels.index(key) if key in labels else key
        if isinstance(key, str) and len(key) == 1 and key.isalpha():
            key = ord(key.upper()) - ord("A")
        if not isinstance(choices, list) or not isinstance(key, int | str):
            raise TaskError(f"{CHOICES} must be a list and {KEY} the place of the answer in it")
        place = choices.index(key) if key in choices else _whole(key, KEY)
        if not 0 <= place < len(choices):
            raise TaskError(f"{KEY} {place} is outside the {len(choices)} choices")
        return [choices[place]], [choice for i, choice in enumerate(choices) if i != place]

    def _spaced(self, answer: Any) -> Any:
        return f" {answer}" if self.space and isinstance(answer, str) and not answer[:1].isspace() else answer


def _value(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column; a dot leads into an object unless the column's own name has it."""
    if column in row:
        return row[column]
    value: Any = row
    for name in column.split("."):
        value = _listing(value)
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _answers(value: Any, column: str) -> list[Any]:
    """One answer or several; numbers, and whatever stands in a column of token ids, are token ids."""
    if value is None or value == "" or value != value:
        return []
    if _is_ids(column):
        return _ids(value, column)
    listed = _listing(value)
    return list(listed) if isinstance(listed, list) else [value]


def _ids(value: Any, column: str) -> list[int]:
    listed = _listing(value)
    return [_whole(item, column) for item in (listed if isinstance(listed, list) else [listed])]


def _listing(value: Any) -> Any:
    """A list or an object that is written as text in a table; anything else as it is."""
    if not (isinstance(value, str) and value.strip()[:1] in ("[", "{")):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def _whole(value: Any, what: str) -> int:
    try:
        number = float(value)
        if isinstance(value, bool) or not number.is_integer():
            raise ValueError
        return int(number)
    except (TypeError, ValueError, OverflowError):
        raise TaskError(f"{what} must be a whole number, not {shown(value)}") from None


def _is_ids(column: str) -> bool:
    return column.endswith(IDS)


def _listed(names: list[str]) -> str:
    told = ", ".join(printable(repr(name), 40) for name in names[:20] if name)
    return f"the columns {told}" + (f" and {len(names) - 20} more" if len(names) > 20 else "")
