"""A group of machines that share a history: its database."""
