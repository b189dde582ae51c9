"""The parts of bench/push.py: the district that is pushed at, the floor, the measuring."""
