"""What the studies' commands share: options, estimates of time, archives of runs."""
