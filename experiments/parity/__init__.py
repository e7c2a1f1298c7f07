"""What `python -m experiments.parity` consists of."""
