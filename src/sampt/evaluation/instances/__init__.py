"""Video instances, whose objects have to be found: predictions, average precision and recall."""
