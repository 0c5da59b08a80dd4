"""Reading, comparing and editing of C functions."""
