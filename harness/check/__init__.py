"""Checks of a booted kernel against a model, through a module in the guest."""
