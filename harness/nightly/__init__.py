"""Nightly runs of a plan: which commits and cells, what their failures mean, and what is news."""
