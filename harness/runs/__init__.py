"""What the commands do with guests, without a terminal."""
