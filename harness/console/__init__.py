"""A guest's console: bytes to lines to events, and the frames of its backtraces to source."""
