"""Which revision broke (or fixed) it: a search over git's history with flaky tests."""
