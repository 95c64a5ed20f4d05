"""The gradient engine: one masked forward and one backward pass, and what scorers read off them."""
