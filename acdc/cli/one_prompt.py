"""One pair of prompts on a command line: the options that give it, and the task that it is."""

from typing import TYPE_CHECKING, Annotated

import typer

from acdc.errors import RunError

if TYPE_CHECKING:
    from acdc.task import OnePrompt

__all__ = [
    "Answer",
    "Chat",
    "Clean",
    "ColumnNames",
    "Corrupt",
    "FirstToken",
    "SkipBad",
    "System",
    "WholeAnswer",
    "Wrong",
    "answers_of",
    "asked_task",
    "of_file",
    "one_prompt",
]

Clean = Annotated[
    str | None, typer.Option("--clean", metavar="TEXT", help="A prompt instead of a task, with --corrupt and --answer.")
]
Corrupt = Annotated[
    str | None, typer.Option("--corrupt", metavar="TEXT", help="Its corrupted twin, with as many tokens.")
]
Answer = Annotated[
    list[str] | None,
    typer.Option("--answer", metavar="TEXT", help="The right answer, like ' Canberra'; may be repeated."),
]
Wrong = Annotated[
    list[str] | None, typer.Option("--wrong", metavar="TEXT", help="A wrong answer, like ' Sydney'; may be repeated.")
]
Chat = Annotated[
    bool, typer.Option("--chat", help="The prompts are a user's messages: write them out by the model's chat template.")
]
System = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="The system message before them.")]
WholeAnswer = Annotated[
    bool, typer.Option("--whole-answer", help="Take answers of several tokens whole, each token after those before it.")
]
FirstToken = Annotated[bool, typer.Option("--first-token", help="Take answers of several tokens by their first.")]
ColumnNames = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="FIELD=NAME,...",
        help="Columns of a data file: clean, corrupt, answer, wrong, target, split; the field's usual names are known.",
    ),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows of a data file that can't be used.")]


def answers_of(whole_answer: bool, first_token: bool) -> str | None:
    """How answers of several tokens are taken, if that is said.

    Raises:
        RunError: Both are.
    """
    if whole_answer and first_token:
        raise RunError("give --whole-answer or --first-token, not both")
    return "whole" if whole_answer else "first" if first_token else None


def of_file(
    columns: str | None,
    skip_bad: bool,
    chat: bool = False,
    system: str | None = None,
    answers: str | None = None,
) -> dict[str, str | bool]:
    """Options of a task that is a data file, as far as they are given."""
    given = {"columns": columns, "skip_bad": skip_bad or None, "chat": chat or None, "system": system}
    given["answers"] = answers
    return {name: value for name, value in given.items() if value is not None}


def asked_task(
    task: str | None,
    clean: str | None,
    corrupt: str | None,
    answer: list[str] | None,
    wrong: list[str] | None,
    *,
    model: str | None,
    chat: bool = False,
    system: str | None = None,
    answers: str | None = None,
) -> "str | OnePrompt":
    """The task that a command is asked about: a named one, or a pair of prompts.

    Raises:
        RunError: Neither or both are given, a part of the pair is missing, or no model is named for a pair.
    """
    given = {"--clean": clean, "--corrupt": corrupt, "--answer": answer, "--wrong": wrong}
    used = [flag for flag, value in given.items() if value]
    if task is not None:
        if used:
            raise RunError(f"{', '.join(used)} give a pair of prompts instead of the task {task!r}; leave one out")
        return task
    if not used:
        raise RunError("name a task (acdc tasks), or give a pair of prompts: --clean, --corrupt and --answer")
    return one_prompt(clean, corrupt, answer, wrong, model=model, chat=chat, system=system, answers=answers)


def one_prompt(
    clean: str | None,
    corrupt: str | None,
    answer: list[str] | None,
    wrong: list[str] | None,
    *,
    model: str | None,
    chat: bool = False,
    system: str | None = None,
    answers: str | None = None,
) -> "OnePrompt":
    """The task of a pair that is given in options or arguments.

    Raises:
        RunError: A part of it is missing, or no model is named.
    """
    parts = {"--clean (the prompt)": clean, "--corrupt (its twin)": corrupt, "--answer": answer}
    if missing := [flag for flag, value in parts.items() if not value]:
        raise RunError(f"a pair of prompts needs {' and '.join(missing)} too")
    if model is None:
        raise RunError("name the model whose answers to your prompts are asked about (--model)")
    from acdc.task import OnePrompt

    assert clean is not None and corrupt is not None and answer is not None
    return OnePrompt(clean, corrupt, answer, wrong or (), chat=chat, system=system, answers=answers or "single")
