"""What bench/uploads.py is made of."""
