"""Finds the revision that broke (or fixed) something, with tests that may be flaky."""
