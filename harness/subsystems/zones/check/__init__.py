"""What the zones are checked with: traces of operations, and invariants in the module's C."""
