"""Records of runs: what they hold, where they are kept, how they are told."""

CELL = "cell.json"
"""The file of a cell that has ended, in its directory."""

JUDGEMENTS = "mutants"
"""The directory of a run in which each mutant's judgement is kept as it is made."""

SCHEMA = 1
"""Of a record's documents; those of another one are refused."""
