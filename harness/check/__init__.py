"""What tells a kernel that is right from one that only boots: the model, counters, mutants."""
