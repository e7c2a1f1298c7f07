"""Whether the second study's claims hold."""
