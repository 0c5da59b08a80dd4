"""Commands and files in guests: what a shell offers, and what it writes on the host."""
