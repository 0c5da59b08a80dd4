"""The same operations in a running kernel and in the reference model, compared step by step."""
