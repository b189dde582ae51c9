"""The schema: valid, complete against the doors and the verbs, and true of what the doors answer."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from msgspec import convert
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from rest_framework.test import APIClient

from inspections import reading as cure
from inspections.verbs import VERBS
from safety import reading as ground
from safety.openapi import document
from safety.schema import examples
from tests.inspections.test_reading import item_of, say
from tests.makers import make_task
from tests.safety.test_reading import raise_alert

API = "/api/v1"
COLLECTIONS = [*ground.COLLECTIONS, *cure.COLLECTIONS]
UNSHOWN = {  # doors without an entry of their own: what they say is shown verb by verb
    "/api/v1/{slug:collection}",
    "/api/v1/{slug:collection}/{uuid:doc_id}",
    "/api/v1/{slug:collection}/{uuid:doc_id}/{slug:action}",
    "/api/v1/schema.json",
}


def check(schema, value):
    """Raises when a value is not of a schema whose references lead into the document."""
    base = Resource(contents=document(), specification=DRAFT202012)
    registry = Registry().with_resource("urn:api", base)
    OAS31Validator({"$ref": f"urn:api#{schema}"}, registry=registry).validate(value)


def answer_schema(path, method="get", status="200"):
    escaped = path.replace("~", "~0").replace("/", "~1")
    return f"/paths/{escaped}/{method}/responses/{status}/content/application~1json/schema"


def test_document_is_a_valid_openapi_3_1():
    assert document()["openapi"] == "3.1.0"
    validate(document())


def test_document_is_made_without_a_warning():
    reset_generator_stats()
    document.cache_clear()
    document()
    assert not GENERATOR_STATS


def test_every_verb_has_its_door_its_shape_and_an_example():
    told = {
        operation["operationId"]: operation["requestBody"]["content"]["application/json"]
        for path in document()["paths"].values()
        for operation in path.values()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    for name, verb in VERBS.items():
        content = told[name.replace(".", "_")]
        assert content["schema"]["$ref"].endswith(verb.struct.__name__), name
        said = content["examples"][name]["value"]
        convert({key: said[key] for key in said if key not in ("id", "base_rev", "base")}, verb.struct)
        check(content["schema"]["$ref"].removeprefix("#"), said)


@pytest.mark.parametrize("of", COLLECTIONS, ids=lambda of: of.name)
def test_every_collection_shows_an_example_of_its_own_shape(of):
    example = examples()[of.name]
    check(answer_schema(f"{API}/{of.name}/{{doc_id}}"), example)
    _holds_every_member(of.shape, example)


def doors(resolver=None, prefix=""):
    for entry in (resolver or get_resolver()).url_patterns:
        route = getattr(entry.pattern, "_route", None) or str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from doors(entry, prefix + route)
        elif isinstance(entry, URLPattern):
            yield f"/{prefix}{route}"


def test_every_door_of_the_api_is_in_the_document():
    shown = {path.split("{")[0].rstrip("/") for path in document()["paths"]}
    for door in doors():
        if not door.startswith(f"{API}/") or door.replace("<", "{").replace(">", "}") in UNSHOWN:
            continue
        stem = door.replace("^", "").split("<")[0].split("(")[0].rstrip("/")
        assert stem in shown, door


def test_every_door_beside_django_is_in_the_document_with_what_it_answers():
    for prefix in settings.BESIDE_DJANGO:
        doors = {path: set(said) for path, said in document()["paths"].items() if path.startswith(prefix)}
        assert doors == {prefix: {"options", "post"}, f"{prefix}/{{upload_id}}": {"head", "patch", "delete"}}


@pytest.mark.django_db
def test_answers_of_the_reading_doors_are_of_the_shapes_that_the_document_shows(town):
    item = item_of(town)
    say(town.safety, "notices", rectification_id=item.id)
    say(town.principal, "reports", rectification_id=item.id, round=1, text="已修好")
    say(town.inspector, "quick_hazards", site_id=str(town.canteen.id), text="堆放纸箱")
    make_task(site=town.canteen, checklist=town.checklist, assignees=(town.inspector,))
    raise_alert(town, said=timezone.now() - timedelta(hours=11))
    client = APIClient()
    seen = set()
    for person in (town.inspector, town.officer):
        client.force_authenticate(person)
        for of in COLLECTIONS:
            page = client.get(f"{API}/{of.name}").json()
            check(answer_schema(f"{API}/{of.name}"), page)
            for row in page["items"][:2]:
                seen.add(of.name)
                one = client.get(f"{API}/{of.name}/{row['id']}").json()
                check(answer_schema(f"{API}/{of.name}/{{doc_id}}"), one)
                _holds_every_member(of.shape, one)
    assert seen >= {
        "organisations",
        "sites",
        "people",
        "shifts",
        "alerts",
        "alerts_mine",
        "templates",
        "tasks",
        "inspections",
        "findings",
        "rectifications",
        "notices",
        "reports",
        "quick_hazards",
    }
    history = client.get(f"{API}/rectifications/{item.id}/history").json()
    check(answer_schema(f"{API}/rectifications/{{doc_id}}/history"), history)
    changes = client.get(f"{API}/changes/rectifications/{item.id}").json()
    check(answer_schema(f"{API}/changes/{{collection}}/{{doc_id}}"), changes)
    chain = client.get(f"{API}/chains/{town.school.id}").json()
    check(answer_schema(f"{API}/chains/{{organisation}}"), chain)


def _holds_every_member(shape, row):
    """The wire forms are written beside the models: a member that one side forgot is found here."""
    fields = set(shape().fields)
    if shape.__name__ == "StatementShape":
        assert fields <= set(row)
    else:
        assert fields == set(row), shape


@pytest.mark.django_db
def test_refusals_are_of_the_problem_that_the_document_shows(town):
    client = APIClient()
    client.force_authenticate(town.safety)
    for answer in (
        client.get(f"{API}/inspections?unit=x"),
        client.get(f"{API}/inspections?colour=red"),
        client.get(f"{API}/alerts/{town.school.id}"),
        APIClient().get(f"{API}/alerts"),
    ):
        check("/components/schemas/Problem", answer.json())


def test_document_is_served_to_everybody_and_known_again_by_its_etag(client, db):
    answer = client.get(f"{API}/schema.json")
    assert (answer.status_code, answer.json()["openapi"]) == (200, "3.1.0")
    assert client.get(f"{API}/schema.json", headers={"If-None-Match": answer["ETag"]}).status_code == 304
