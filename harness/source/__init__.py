"""Source trees: which revision, what is changed on top, and where the files are."""
