"""What tells a right kernel from one that only boots: a module in the guest, and its channel."""
