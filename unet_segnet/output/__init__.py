"""Files that appear whole or not at all, tables, and pages."""
