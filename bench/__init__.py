"""Benchmarks: each says what it measures, against what, and how to read it. Run them by `python3 dev.py bench NAME`."""
