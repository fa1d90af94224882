"""What people and programs touch: the command line, the gateway, the SDK."""
