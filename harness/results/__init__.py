"""Records of runs: what they hold, where they are kept, how they are told."""
