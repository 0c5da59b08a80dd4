"""The guest's serial console: parsing into events, and symbolizing of backtraces."""
