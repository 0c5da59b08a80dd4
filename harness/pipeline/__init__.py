"""Joins the stages: from what the user named to a booted guest and its record."""
