"""Small named changes of the functions that the model follows."""
