"""The program `acdc` with blocks as small as can be: `python -m tests.ranks.command WORDS`."""

from acdc.cli import run_main
from tests.ranks.work import smallest_blocks

smallest_blocks()
run_main()
