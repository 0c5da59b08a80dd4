"""The host: processes, clock, files, accelerator, and what is installed."""
