"""The parts of bench/pull.py: a full index, the readers, the measuring."""
