"""Point tracks: annotations, TAP-Vid measures, PCK."""
