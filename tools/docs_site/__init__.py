"""The documentation site, made from docs/, the README files beside the code, docstrings and the command line's parsers."""
