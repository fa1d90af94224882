"""The figures, a module for each kind; ``stage`` is what they stand on."""
