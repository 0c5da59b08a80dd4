"""The command line: parses arguments, calls ``harness.runs``, prints results."""
