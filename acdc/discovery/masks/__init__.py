"""Learned masks: gates over edges or nodes, trained by descent."""
