"""Django's SQLite, with connections that a running server keeps for the next request."""
