"""Results as files: those of a run, and those for other programs."""
