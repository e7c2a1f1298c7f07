"""The second study's figures."""
