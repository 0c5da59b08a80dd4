"""Images: what a guest boots from."""
