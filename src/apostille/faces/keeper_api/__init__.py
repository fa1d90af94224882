"""The keeper's socket."""
