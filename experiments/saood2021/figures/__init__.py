"""The first study's figures."""
