"""The second study: 'Comprehensive comparison ...' (Bizopoulos et al. 2021)."""
