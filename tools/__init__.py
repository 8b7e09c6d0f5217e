"""For whoever works on sampt: parity with the official programs, tuning, installation tests."""
