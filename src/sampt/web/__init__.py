"""The page and its HTTP and WebSocket interface over sessions; needs the extra ``sampt[ui]``."""
