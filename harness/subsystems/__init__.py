"""What the harness knows of parts of the kernel: a package for each, and the table of them."""
