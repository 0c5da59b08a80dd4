"""What a check does to zones in a guest, and what it looks at."""
