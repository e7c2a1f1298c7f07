"""Every table and figure of the first study, ours beside the published, with a verdict on each claim."""
