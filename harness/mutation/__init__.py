"""Mutants: small named changes of the kernel's source, and whether anything notices them."""
