"""Pages of nights and reports of runs: static HTML with a style sheet and charts, no scripts."""
