"""Where values are kept: SQLite, memory, tiles, key files. Each translates its errors at its own edge."""
