"""Kernels: from a source tree and a configuration to files that boot."""
