"""FreeBSD's own suites in guests, run by kyua(1)."""
