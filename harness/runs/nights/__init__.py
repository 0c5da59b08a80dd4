"""Nights of a plan: what is run, judged, searched and told."""
