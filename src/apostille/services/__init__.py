"""Use cases over ports. No SQL, no HTTP."""
