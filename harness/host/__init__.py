"""The host: processes, clock, files, accelerator and installed programs."""
