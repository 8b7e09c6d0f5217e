"""Many videos: a list of them, workers that share it, and a record of what became of each."""
