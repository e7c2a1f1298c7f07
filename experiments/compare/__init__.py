"""The second study: four architectures, 25 encoders, two initialisations, three experiments."""
