"""Speed, memory and quality: each module is a command of docs/benchmarks.md, run as ``python -m benchmarks.NAME``."""
