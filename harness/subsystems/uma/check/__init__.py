"""Checks zones in a guest: operations, observations and their comparison with the model."""
