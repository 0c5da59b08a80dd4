"""Checks iterators in a guest: sends operations to the check module, compares the answers."""
