"""Boots, compares and judges real FreeBSD kernels on NUMA guests."""

__version__ = "0.1.0"
