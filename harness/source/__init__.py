"""Source trees: revisions, changes applied to them, and checked-out files."""
