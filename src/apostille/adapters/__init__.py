"""Outside things behind our ports: the machine itself for now."""
