"""Commands that are run in guests, over SSH."""
