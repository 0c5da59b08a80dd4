"""A tree's own C as a program of the host: memory, CPUs, locks and waits beside it, and its runs.

Nothing here knows what the C is of: a subsystem says which files it follows (``part.HostPart``).
"""
