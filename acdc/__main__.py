"""`python -m acdc` is the program `acdc`."""

from acdc.cli import run_main

run_main()
