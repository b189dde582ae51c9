"""Clients that have signed in, without the way there: a browser's session, and a reader of the API."""

from django.test import Client
from rest_framework.test import APIClient

from safety.models import Person


def signed_in(person: Person, **more) -> Client:
    """A browser with this person's session; `more` is the client's own."""
    client = Client(**more)
    client.force_login(person, backend="safety.access.PostBackend")
    return client


def reader(person: Person) -> APIClient:
    """One who asks the API as this person."""
    client = APIClient()
    client.force_authenticate(person)
    return client
