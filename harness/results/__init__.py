"""Records of runs: contents, storage and reports."""

CELL = "cell.json"
"""The file with the result of a cell, in the cell's directory."""

JUDGEMENTS = "mutants"
"""The subdirectory of a run with one file for each judged mutant."""

TESTS = "tests"
"""The subdirectory of a run with one file for each program of tests that has ended."""

SCHEMA = 1
"""The schema version of a record's documents; other versions are refused."""
