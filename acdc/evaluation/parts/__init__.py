"""The parts of an evaluation, one a file."""
