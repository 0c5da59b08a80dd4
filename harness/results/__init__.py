"""Records of runs: what they hold, where they are kept, how they are told."""

CELL = "cell.json"
"""The file of a cell that has ended, in its directory."""

SCHEMA = 1
"""Of a record's documents; those of another one are refused."""
