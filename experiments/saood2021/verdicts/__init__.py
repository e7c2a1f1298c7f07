"""Whether the first study's claims hold."""
