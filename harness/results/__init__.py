"""Records of runs: what they hold, where they are kept, how they are told."""

SCHEMA = 1
"""Of a record's documents; those of another one are refused."""
