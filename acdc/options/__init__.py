"""What options are taken: their values where nothing is asked for, and the kinds and bounds of what may be given."""
