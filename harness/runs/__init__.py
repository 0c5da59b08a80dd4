"""What is done with guests, without a terminal: many boots, mutants, bisections."""
