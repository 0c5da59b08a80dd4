"""What the pytest plugin (``harness.pytest_plugin``) imports once a test uses a guest."""
