"""The command line: one module for each subject; `acdc --help` lists the commands.

Exit codes: 0 done; 2 a mistake in what was asked, told in a line; 130 stopped by Ctrl-C, 143 by a request to end
(SIGTERM); 141 nobody reads the output any more; 1 anything else. Torch and transformers are imported by the commands
that need them, so `acdc --help` answers at once.
"""

import os
import signal
import sys
import traceback

import typer

# importing a module registers its commands
from acdc.cli import (  # noqa: F401
    benchmark,
    compare,
    contrasting,
    convert,
    debugging,
    discover,
    evaluate,
    explain,
    feature_circuit,
    features,
    grouping,
    heads,
    lens,
    lists,
    patching,
    pushing,
    report,
    runs,
    show,
    steering,
    sweep,
    tracing,
    train_dictionary,
)
from acdc.cli.app import RANKS, app
from acdc.cli.terminal import plain
from acdc.errors import ACDCError, AlignmentError, RunError, printable
from acdc.progress.ending import ask_to_end
from acdc.ranks import ProcessEnded, joined, leave, rank_given

__all__ = ["app", "main", "run_main"]

RESUMABLE = ("discover", "evaluate", "explain", "benchmark", "sweep", "train-dictionary", "feature-circuit")
SHARED = ("discover", "evaluate")  # by several processes
STOPPED, UNREAD = 130, 141
LONGEST = 1500  # letters of a message
FULL = "the memory is full; use fewer prompts (--n), a smaller model or a narrower dictionary"
LONGEST_WORD = 4096  # letters of an argument: as many as a path may have


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        _check_words(given)
        words = [word for word in given if word != "--debug"] or ["--help"]
        with joined() as ranks:
            if ranks.n > 1 and words[0] not in SHARED:
                raise RunError(f"several processes share the work of {' and '.join(SHARED)} only: leave torchrun out")
            RANKS.set(ranks)
            code = int(app(words, standalone_mode=False, prog_name="acdc") or 0)
        if code == STOPPED:  # typer's answer to Ctrl-C
            raise KeyboardInterrupt
        return code
    except AlignmentError as error:
        return _fail(error.message, error, 2, debug, error.rows)
    except ACDCError as error:
        return _fail(str(error), error, 2, debug)
    except ProcessEnded as error:
        return _fail(f"{error}{_how_to_go_on(given)}", error, 1, debug)
    except (KeyboardInterrupt, typer.Abort) as error:
        return _fail(f"stopped{_how_to_go_on(given)}", error, STOPPED, debug)
    except SystemExit as error:
        return _left(error, given, debug)
    except BrokenPipeError:
        return UNREAD
    except MemoryError as error:
        return _fail(FULL, error, 1, debug)
    except OSError as error:
        where = "" if error.filename is None else f" ({str(error.filename)[:200]})"
        return _fail(f"{error.strerror or error}{where}", error, 2, debug)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: an unknown command, a missing argument
            return _fail(error.format_message() + _usage(error), error, 2, debug)
        if "allocate memory" in str(error) or type(error).__name__ == "OutOfMemoryError":  # torch's own, of each device
            return _fail(FULL, error, 1, debug)
        return _fail(f"{type(error).__name__}: {error} (--debug shows where)", error, 1, debug)


def _check_words(words: list[str]) -> None:
    """Refuse what can't be the name of anything, before anyone takes it for one.

    Raises:
        RunError: A word is empty, too long, or no text.
    """
    for before, word in zip(["acdc", *words], words, strict=False):
        if not word.strip():
            raise RunError(f"the word after {before!r} is empty; was a variable of the shell not set?")
        if len(word) > LONGEST_WORD:
            raise RunError(f"{printable(word, 40)!r} has {len(word):,} letters; no name or path may have so many")
        try:
            word.encode()
        except UnicodeEncodeError:
            raise RunError(f"{word!a} is no UTF-8 text; rename the file, or mend the variable") from None
        if "\0" in word:
            raise RunError(f"{printable(word, 60)!r} holds a NUL character")


def _how_to_go_on(given: list[str]) -> str:
    return "; the same command goes on from here" if given[:1] and given[0] in RESUMABLE else ""


def _left(error: SystemExit, given: list[str], debug: bool) -> int:
    """The exit code where something ended the program: a signal, a pipe that nobody reads, or code that was run."""
    if isinstance(error.__context__, BrokenPipeError):
        return UNREAD
    if isinstance(error.code, int) and error.code > 128:
        return _fail(f"stopped{_how_to_go_on(given)}", error, error.code, debug)
    return _fail("code that was run ended the program (sys.exit); nothing is known of its work", error, 1, debug)


def _usage(error: Exception) -> str:
    """How the command is used, after a mistake in its words."""
    context = getattr(error, "ctx", None)
    return (
        ""
        if context is None
        else f" {context.get_usage().replace('{', '').replace('}', '')} (acdc --help, acdc COMMAND --help say more)"
    )


def _fail(message: str, error: BaseException, code: int, debug: bool, rows: tuple[str, ...] = ()) -> int:
    if debug:
        traceback.print_exception(error)
    sys.stderr.write(f"acdc: {printable(message, LONGEST)}\n")
    for row in rows:
        sys.stderr.write(f"{plain(row)}\n")
    return code


def run_main() -> None:
    """The entry point."""
    signal.signal(signal.SIGTERM, ask_to_end)  # it takes the way of Ctrl-C: what was computed is kept
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a summary is not lost to a narrow encoding
            stream.reconfigure(errors="backslashreplace")
    if rank_given():
        _hold_tongue()
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        code = UNREAD
    if code == UNREAD:  # nothing more can be written, so the interpreter need not try at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    leave(code)
    sys.exit(code)


def _hold_tongue() -> None:
    """Of several processes the first speaks for all."""
    nowhere = open(os.devnull, "w")  # noqa: SIM115  as long as the process lives
    sys.stdout = nowhere
    if "--debug" not in sys.argv:
        sys.stderr = nowhere
