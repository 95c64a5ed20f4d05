"""Scorers: each gives every edge a number, from gradients or from what nodes write."""
