"""The command line: arguments in, verbs called, results told, exit codes out."""
