"""The user's mistakes: each message says what was wrong, what was expected and what to do."""

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ACDCError",
    "AlignmentError",
    "CircuitError",
    "EndRequested",
    "FileError",
    "ModelError",
    "RunError",
    "TaskError",
    "UnknownNameError",
    "UnsavedError",
    "counted",
    "nearest",
    "printable",
    "shown",
    "unknown_name",
]


class ACDCError(Exception):
    """Base of every error that the user can mend; the command line prints it without a traceback."""


class TaskError(ACDCError):
    """A task or its prompts can't be used as they are."""


class AlignmentError(TaskError):
    """The two sides of a pair have different numbers of tokens; `rows` shows them one above the other."""

    def __init__(self, message: str, rows: tuple[str, ...]) -> None:
        super().__init__("\n".join((message, *rows)))
        self.message, self.rows = message, rows


class ModelError(ACDCError):
    """A model can't be loaded or read as a computational graph."""


class CircuitError(ACDCError):
    """A circuit, mask or circuit file doesn't fit."""


class FileError(ACDCError):
    """A file can't be read or written, or doesn't hold what it should."""


class UnsavedError(FileError):
    """A finished search's files can't be written; `result` is the `RunResult`, and its checkpoint, if any, is kept."""

    def __init__(self, message: str, result: object) -> None:
        super().__init__(message)
        self.result = result


class RunError(ACDCError):
    """An option or a place of a run can't be used."""


class UnknownNameError(ACDCError):
    """A name that no registry holds."""


class EndRequested(SystemExit):
    """A signal asks the process to end; no code of a user's wanted it."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name not among the known ones, with the nearest match.

    >>> str(unknown_name("metric", "logitdiff", ["kl", "logit_diff"]))
    "unknown metric 'logitdiff': did you mean 'logit_diff'? (known: kl, logit_diff)"
    """
    known = list(known)
    near = nearest(name, known)
    hint = f": did you mean {near!r}?" if near else "."
    return UnknownNameError(f"unknown {kind} {printable(name, 60)!r}{hint} (known: {', '.join(known) or 'none'})")


# what others call what we call by the first of these names that is known
SYNONYMS = {
    "half": ("float16",),
    "fp16": ("float16",),
    "f16": ("float16",),
    "bf16": ("bfloat16",),
    "fp32": ("float32",),
    "f32": ("float32",),
    "single": ("float32",),
    "fp64": ("float64",),
    "f64": ("float64",),
    "double": ("float64",),
    "gpu": ("cuda",),
    "nvidia": ("cuda",),
    "metal": ("mps",),
    "informationflowroutes": ("ifr",),
    "attributionpatching": ("eap", "nap"),
    "edgeattributionpatching": ("eap",),
    "nodeattributionpatching": ("nap",),
    "integratedgradients": ("eap-ig-inputs",),
    "eapig": ("eap-ig-inputs",),
    "leaveoneout": ("exact",),
    "activationpatching": ("exact",),
    "headimportance": ("hisp",),
    "sp": ("subnetwork-probing",),
    "kldivergence": ("kl",),
    "kldiv": ("kl",),
    "crossentropy": ("nll",),
    "interchange": ("corrupt",),
    "counterfactual": ("corrupt",),
    "patching": ("corrupt",),
    "gaussian": ("noise",),
    "pronouns": ("gendered-pronoun",),
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is probably meant: the same but for case and punctuation, a word of other tools for it, one
    that begins with it (so that the family is the same), or else one of nearly the same letters.

    >>> nearest("eap-ig", ["nap-ig", "eap", "eap-ig-inputs"]), nearest("KL", ["kl"]), nearest("half", ["float16"])
    ('eap-ig-inputs', 'kl', 'float16')
    """
    known, bare = list(known), _bare(name[:200])
    by_bare = {_bare(each): each for each in reversed(known)}
    if bare in by_bare:
        return by_bare[bare]
    for meant in SYNONYMS.get(bare, ()):
        if meant in known:
            return meant
    if len(bare) > 1 and (same := [each for each in known if _bare(each).startswith(bare)]):
        return same[0]
    near = get_close_matches(bare, list(by_bare), n=1, cutoff=0.5)
    return by_bare[near[0]] if near else None


def _bare(name: str) -> str:
    """The name's letters and digits alone, in lower case."""
    return "".join(c for c in name.casefold() if c.isalnum())


def counted(n: int | float, thing: str) -> str:
    """A number of things, with their name.

    >>> counted(1, "forward pass"), counted(1200, "prompt")
    ('1 forward pass', '1,200 prompts')
    """
    plural = "es" if thing.endswith("s") else "s"
    return f"{n:,} {thing}{'' if n == 1 else plural}"


def printable(text: str, longest: int = 300) -> str:
    r"""The text in one line without control characters, so that a name can't move a terminal's cursor; cut if longer.

    >>> printable("a\x1b[31m\nb")
    'a [31m b'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxlong, SHORT.maxother = 4, 400, 100, 400


def shown(value: object, longest: int = 60) -> str:
    """`repr` for a message: in one short line, and soon, whatever the value is.

    >>> shown([[1]] * 1000), shown("a" * 100, 10)
    ('[[1], [1], [1], [1], [1], [1], ...]', "'aaaaaaaa…")
    """
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"a number of about {value.bit_length() * 3 // 10:,} digits"
    try:
        text = SHORT.repr(value)
    except Exception:  # a value that isn't ours may fail at anything
        text = f"a {type(value).__name__}"
    return printable(text, longest)
