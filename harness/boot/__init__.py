"""Boots one guest, from its plan to its cell of the record, repeats included."""
