"""Conditions that narrow a rule of the token itself, one a file, which declares what it makes of a rule: `NARROWED`."""
