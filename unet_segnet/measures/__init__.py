"""What is measured of a segmentation: pixel counts and scores, lesions, severity, and their statistics."""
