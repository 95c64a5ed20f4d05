"""Pairs of prompts: tokens of a text, the fields of a pair, and the checked batch that all else reads."""
