"""Debuggers and memory dumps of guests."""
