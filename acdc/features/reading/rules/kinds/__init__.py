"""The kinds of rules that are tried, one a file, which declares what it proposes: `PROPOSED`."""
