"""The migrations of the history's tables, run by ``harness.history.migrate``."""
