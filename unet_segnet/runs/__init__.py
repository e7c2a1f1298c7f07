"""A run is one training in a folder of its own: settings, state, result; the loop over many of them."""
