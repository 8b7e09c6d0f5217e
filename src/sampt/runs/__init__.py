"""One video from its queries to a complete, resumable folder of results."""
