"""The parts of bench/returning.py: the district that waits, the phones that come back, who watches meanwhile."""
