"""Self-contained pages: one file, no server, no network."""
