"""Networks for other people's scans: trained without a source of data, tested on it."""
