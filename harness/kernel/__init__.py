"""Kernels: configuration, build, cache and verification."""
