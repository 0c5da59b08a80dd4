"""A tree's own C as a host program: its memory, CPUs, locks and waits, its build and its runs.

No module here depends on a subsystem; ``part.HostPart`` names the files that one follows.
"""
