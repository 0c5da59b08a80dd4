"""Zones of UMA with buckets and caches, which have no model: they are compared with invariants."""
