"""The second study's tables, ours beside the published."""
