"""From scores to a circuit: which edges to keep."""
