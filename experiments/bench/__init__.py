"""What `python -m experiments.bench` consists of."""
