"""Circuits as values: the graph of a model, circuits in it, their files, and those that papers published."""
