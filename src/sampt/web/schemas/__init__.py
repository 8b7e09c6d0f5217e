"""The one folder where the fields of requests and responses are written.

Routes take and return these models, OpenAPI is made from them, and the page's types are made from OpenAPI
(``tools/page_types.py``).
"""
