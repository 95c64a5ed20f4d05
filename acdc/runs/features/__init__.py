"""Runs about features: dictionaries are trained and read, circuits and graphs of features are found and kept."""
