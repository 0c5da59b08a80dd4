"""Disk images that others made: fetched, unpacked, and read without a boot."""
