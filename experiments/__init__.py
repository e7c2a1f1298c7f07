"""The studies: each file is one command, `python -m experiments.NAME`."""
