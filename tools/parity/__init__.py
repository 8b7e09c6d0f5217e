"""``python -m tools.parity FOLDER``: our networks against fixtures of the official programs."""
