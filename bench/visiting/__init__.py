"""Seeds of the strangers, played: see bench/strangers.py."""
