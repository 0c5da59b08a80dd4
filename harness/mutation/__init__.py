"""Mutation testing: small, named changes of the kernel's source, and what kills them."""
