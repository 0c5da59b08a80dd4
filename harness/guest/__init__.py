"""The guest: its topology, its specification, and the backends that run it."""
