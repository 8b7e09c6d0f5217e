"""What a client may request: a module by subject, each with a router. Their fields are in :mod:`sampt.web.schemas`."""
