"""Boot media of guests."""
