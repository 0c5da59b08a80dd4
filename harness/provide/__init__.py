"""Provides kernels: built from a tree, the built-in guest's, or a file."""
