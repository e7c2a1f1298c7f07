"""Trained networks as files: saved, loaded, described, exported; the project's own lie in `weights`."""
