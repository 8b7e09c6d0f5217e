"""Objects that nobody named: which proposals are new objects, and which are objects that are known."""
