"""What a client may ask: a module by subject, each with a router. Their fields are in :mod:`sampt.web.schemas`."""
