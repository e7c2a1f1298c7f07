"""The first study's tables, ours beside the published."""
