"""A whole inspection day played against a running server through its public doors alone: HTTP and WebSocket.

Client code, as an outside developer would write it: no models, no settings, nothing of the product is imported here.
"""
