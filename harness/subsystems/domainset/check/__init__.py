"""Checks iterators in a guest: operations sent to the check module, answers compared."""
