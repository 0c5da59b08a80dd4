"""The check of zones: traces of operations, and invariants in the module's C."""
