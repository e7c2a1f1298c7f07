"""A scan in, a labelled scan out."""
