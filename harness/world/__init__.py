"""Worlds: FreeBSD's userland, built from a tree and put into a disk image for guests."""
