"""The exact engine: what the loss would be without some edges, by computing only what their removal changes."""
