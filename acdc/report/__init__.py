"""The interactive page of a run, made of saved results alone."""
