"""Docstring completion (Heimersheim and Janiak 2023): which argument a function's docstring describes next.

def port(self, load, size, files, last):
    \"\"\"oil column piece

    :param load: crime population
    :param size: unit dark
    :param                          -> " files"
"""

import random
from typing import Any, NamedTuple

from acdc import PromptPair, Words, WordTask, spellable, word_spans

FUNCTION_NAMES: tuple[str, ...] = tuple("port read send parse build check fetch merge store apply print load".split())
ARGUMENTS: tuple[str, ...] = tuple(
    """
    size files last test code user item text node image table level order group value state label event model index
    line page point color frame token field query task path mode rate list time data name type word key file host date
    range score count limit weight region owner format target source output input result status filter option record
    """.split()
)
DOC_WORDS: tuple[str, ...] = tuple(
    """
    oil column piece crime population unit dark music river stone paper winter garden engine market forest silver
    bridge summer metal island letter doctor animal window planet
    """.split()
)

CORRUPTIONS = ("random-answer", "random-def", "random-def-doc")
SPANS = ("A_def", "B_def", "C_def", "D_def", "A_doc", "B_doc")
N_ARGUMENTS, N_DESCRIBED = 4, 2
MIN_ARGUMENTS = 2 * N_ARGUMENTS + N_DESCRIBED  # the clean prompt's, other ones of its twin, and of its docstring
MIN_DOC_WORDS = 3 + 2 * N_DESCRIBED
TEMPLATE = '''def {function}(self, {arguments}):
    """{words}

    {described}
    :param'''


class Function(NamedTuple):
    """Arguments of the definition, and those that the docstring describes."""

    arguments: list[str]
    described: list[str]


class Docstring(WordTask):
    """A function of four arguments whose docstring has described two of them; the third comes next.

    Arguments are single tokens. Discovery and held-out pairs share no argument, no function name and no word of the
    docstring; the form is always the same. Spans are the arguments, `A_def` to `D_def` in the definition, `A_doc` and
    `B_doc` in the docstring; `C_def` is the answer.

    Args:
        corruption: `random-answer` (the third argument has another name in the definition), `random-def` (all arguments
            of the definition have other names) or `random-def-doc` (those of the docstring too, and none of them occurs
            in the definition).
    """

    name = "docstring"
    summary = "the argument that a docstring describes next"
    source = "Heimersheim and Janiak 2023; a task of ACDC (arXiv 2304.14997)"
    default_model = "acdc-tasks"

    def __init__(self, corruption: str = "random-answer") -> None:
        self.corruption = self.choice("corruption", corruption, CORRUPTIONS)

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the wrong answers are the other arguments of either definition."""
        names = words.single_tokens(ARGUMENTS, "argument names", least=MIN_ARGUMENTS)
        texts = words.need(words.spellable(DOC_WORDS, every=3), "words to describe them", least=MIN_DOC_WORDS)
        spellable(words.tokenizer, [TEMPLATE])
        functions = words.spellable(FUNCTION_NAMES)
        return [self.pair(names, texts, rng.choice(functions), rng) for _ in range(n)]

    def pair(self, names: list[str], words: list[str], function: str, rng: random.Random) -> PromptPair:
        """One pair; the two sides differ in names of arguments."""
        drawn, text = rng.sample(names, MIN_ARGUMENTS), rng.sample(words, MIN_DOC_WORDS)
        arguments, others, strangers = drawn[:N_ARGUMENTS], drawn[N_ARGUMENTS:-N_DESCRIBED], drawn[-N_DESCRIBED:]
        clean = Function(arguments, arguments[:N_DESCRIBED])
        answer = arguments[N_DESCRIBED]
        corrupt = {
            "random-answer": clean._replace(arguments=[others[0] if name == answer else name for name in arguments]),
            "random-def": clean._replace(arguments=others),
            "random-def-doc": Function(others, strangers),
        }[self.corruption]
        wrong = [f" {name}" for name in dict.fromkeys([*arguments, *corrupt.arguments]) if name != answer]
        return PromptPair(
            written(function, clean, text),
            written(function, corrupt, text),
            correct=[f" {answer}"],
            wrong=wrong,
            spans=spans_of(clean, corrupt),
        )


def spans_of(clean: Function, corrupt: Function) -> dict[str, Any]:
    """Where the arguments are."""
    sides = (dict(zip(SPANS, [*side.arguments, *side.described], strict=True)) for side in (clean, corrupt))
    return word_spans(*sides)


def written(function: str, names: Function, text: list[str]) -> str:
    """The prompt; `text` gives three words of the summary and two of each description."""
    lines = [f":param {name}: {text[2 * i + 3]} {text[2 * i + 4]}" for i, name in enumerate(names.described)]
    return TEMPLATE.format(
        function=function,
        arguments=", ".join(names.arguments),
        words=" ".join(text[:3]),
        described="\n    ".join(lines),
    )
