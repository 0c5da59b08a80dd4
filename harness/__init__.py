"""Boots, compares and judges real FreeBSD kernels on NUMA guests."""
