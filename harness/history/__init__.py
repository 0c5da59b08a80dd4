"""The history of nightly runs: a database of nights, results, problems and news."""
