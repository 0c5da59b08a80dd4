"""Zones of UMA with buckets and caches, held to invariants: what has no model yet."""
