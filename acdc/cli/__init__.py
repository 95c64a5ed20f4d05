"""The command line: one module for each subject; `acdc --help` lists the commands.

Exit codes: 0 done, 2 a mistake in what was asked (told in a line or two), 1 anything else. Torch and transformers are
imported by the commands that need them, so `acdc --help` answers at once.
"""

import sys
import traceback

import typer

# importing a module registers its commands
from acdc.cli import benchmark, compare, convert, discover, evaluate, lists, show  # noqa: F401
from acdc.cli.app import app
from acdc.errors import ACDCError

__all__ = ["app", "main", "run_main"]

RESUMABLE = ("discover", "evaluate", "benchmark")
STOPPED = 130  # typer's answer to Ctrl-C


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        code = int(app([word for word in given if word != "--debug"], standalone_mode=False) or 0)
        if code == STOPPED:
            raise KeyboardInterrupt
        return code
    except ACDCError as error:
        return _fail(str(error), error, 2, debug)
    except (KeyboardInterrupt, typer.Abort) as error:
        hint = "; the same command goes on from here" if given[:1] and given[0] in RESUMABLE else ""
        return _fail(f"stopped{hint}", error, 1, debug)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: an unknown command, a missing argument
            return _fail(error.format_message(), error, 2, debug)
        return _fail(f"{type(error).__name__}: {error} (--debug shows where)", error, 1, debug)


def _fail(message: str, error: BaseException, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    sys.stderr.write(f"acdc: {' '.join(message.split())}\n")
    return code


def run_main() -> None:
    """The entry point."""
    sys.exit(main())
