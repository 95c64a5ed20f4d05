"""What nodes are and do: attention patterns, roles, direct effects, lenses, patching maps, probes, steering."""
