"""Sweeps: many runs from one grid, each an ordinary run in its own folder."""
