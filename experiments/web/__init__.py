"""Self-contained HTML: one file with everything in it, for the report and for the viewer of a segmented case."""
