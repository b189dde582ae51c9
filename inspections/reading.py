"""The reading doors of evidence and cure. What every reading door is made of stands in `safety/readable.py`."""

from collections import defaultdict
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from rest_framework.response import Response

from inspections import serializers as shapes
from inspections.models import (
    ENDED,
    Conflict,
    Finding,
    Inspection,
    Photo,
    QuickHazard,
    RectificationItem,
    ShownCopy,
    Statement,
    StatementKind,
    Submission,
    Task,
    TemplateVersion,
)
from inspections.rules import flag_words
from safety.encoding import pack
from safety.errors import NotFound
from safety.models import Audience, Organisation, Person, Site
from safety.paging import merged_page_of
from safety.readable import (
    Asked,
    Named,
    Readable,
    ReadingView,
    show_documents,
    since,
    until,
    when,
    wires_of,
    with_names,
)
from safety.schema import ReadingSchema
from safety.serializers import Nothing

CHECKLISTS, VISITS, CURE = "检查表 Checklists", "检查 Inspections", "整改 Rectification"
COPY_ADDRESS = "/api/v1/photos/{photo_id}/{name}.jpg"
CONTENT_ADDRESS = "/api/v1/ref/templates/{sha256}.json"
YEAR_SECONDS = 365 * 86400

AT_SITE: Named = {"unit_id": (Organisation, "name"), "site_id": (Site, "name")}
BY_TEMPLATE: Named = {"template_version_id": (TemplateVersion, "template__name")}
BY_AUTHOR: Named = {"author_id": (Person, "name")}


# What is shown


def _show_templates(of: Readable, rows: list, asked: Asked) -> list[dict]:
    versions = show_documents(of, rows, asked)
    return [version | {"content": CONTENT_ADDRESS.format(**version)} for version in versions]


def _show_visits(of: Readable, rows: list[Inspection], asked: Asked) -> list[dict]:
    return [_with_flags_named(visit, visit["flags"]) for visit in show_documents(of, rows, asked)]


def _show_items(of: Readable, rows: list[RectificationItem], asked: Asked) -> list[dict]:
    overdue = {str(row.pk): row.is_overdue_on(asked.day) for row in rows}
    items = [item | {"overdue": overdue[item["id"]]} for item in show_documents(of, rows, asked)]
    return [_with_flags_named(item, item["facts"].get("flags", [])) for item in items]


def _with_flags_named(document: dict, flags: list[str]) -> dict:
    """What a record or an item lacks, in words beside the codes."""
    if flags:
        document["names"]["flags"] = [flag_words(flag) for flag in flags]
    return document


def _show_photos(of: Readable, rows: list, asked: Asked) -> list[dict]:
    copies: dict[str, list[dict]] = defaultdict(list)
    for copy in ShownCopy.objects.filter(photo__in=rows).order_by("name"):
        copies[str(copy.photo_id)].append(
            {
                "name": copy.name,
                "sha256": copy.sha256,
                "size_bytes": copy.size_bytes,
                "href": COPY_ADDRESS.format(photo_id=copy.photo_id, name=copy.name),
            }
        )
    return [photo | {"copies": copies[photo["id"]]} for photo in show_documents(of, rows, asked)]


def _show_findings(of: Readable, rows: list[Finding], asked: Asked) -> list[dict]:
    return with_names([_finding(row) for row in rows], of.named)


def _finding(row: Finding) -> dict:
    return {
        "id": row.id,
        "rectification_id": row.item_id,
        "ordinal": row.ordinal,
        "inspection_id": row.inspection_id,
        "quick_hazard_id": row.quick_hazard_id,
        "revisit_id": row.revisit_id,
        "unit_id": row.item.unit_id,
        "site_id": row.item.site_id,
        "item_code": row.item_code,
        "kind": row.kind,
        "grade": row.grade,
        "place": row.place,
        "text": row.text,
        "fixed_on_spot": row.fixed_on_spot,
        "found_by": row.found_by_id,
        "found_at": row.found_at,
        "verdict": row.verdict,
    }


# Filters that are more than one lookup


def _current(rows: QuerySet, value: bool, asked: Asked) -> QuerySet:
    return rows.newest_each() if value else rows


def _overdue(rows: QuerySet, value: bool, asked: Asked) -> QuerySet:
    late = rows.overdue_on(asked.day)
    return late if value else rows.exclude(pk__in=late.values("pk"))


def _mine(rows: QuerySet, value: bool, asked: Asked) -> QuerySet:
    # a JSON list has no portable "contains": its text holds the quoted id, which stands nowhere else in it
    mine = Q(assignees__icontains=f'"{asked.sight.person_id}"')
    return rows.filter(mine) if value else rows.exclude(mine)


def _numbered_or_said(rows: QuerySet, text: str, asked: Asked) -> QuerySet:
    return rows.filter(Q(text__icontains=text) | Q(number__icontains=text))


def _statements(kind: StatementKind) -> Readable:
    return Readable(
        name=kind.value,
        title=str(kind.label),
        tag=CURE,
        model=Statement,
        only=Q(kind=kind.value),
        shape=shapes.StatementShape,
        filters=shapes.StatementFilters,
        lookups={
            "unit": "unit",
            "rectification": "item",
            "inspection": "inspection",
            "author": "author",
            "from_on": since("said_at"),
            "to_on": until("said_at"),
        },
        needs=("kind",),
        named=BY_AUTHOR,
    )


RECTIFICATIONS = Readable(
    name="rectifications",
    title="整改项",
    tag=CURE,
    model=RectificationItem,
    shape=shapes.RectificationShape,
    filters=shapes.RectificationFilters,
    lookups={
        "unit": "unit",
        "site": "site",
        "state": "state__in",
        "kind": "kind__in",
        "grade": "grade__in",
        "item_code": "item_code",
        "open": when(
            lambda rows, *_: rows.exclude(state__in=ENDED),
            lambda rows, *_: rows.filter(state__in=ENDED),
        ),
        "overdue": _overdue,
        "due_by": "due_on__lte",
        "from_on": "found_on__gte",
        "to_on": "found_on__lte",
        "text": _numbered_or_said,
    },
    order=("-found_on", "-id"),
    named=AT_SITE,
    needs=("due_on", "state"),
    show=_show_items,
)

FINDINGS = Readable(
    name="findings",
    title="发现",
    tag=VISITS,
    model=Finding,
    shape=shapes.FindingShape,
    filters=shapes.FindingFilters,
    lookups={
        "unit": "item__unit",
        "site": "item__site",
        "inspection": "inspection",
        "rectification": "item",
        "item_code": "item_code",
        "kind": "kind__in",
        "grade": "grade__in",
        "from_on": since("found_at"),
        "to_on": until("found_at"),
        "text": "text__icontains",
    },
    named=AT_SITE | {"found_by": (Person, "name")},
    needs=None,
    related=("item",),
    show=_show_findings,
)

COLLECTIONS = [
    Readable(
        name="templates",
        title="检查表版本",
        tag=CHECKLISTS,
        model=TemplateVersion,
        shape=shapes.TemplateShape,
        filters=shapes.TemplateFilters,
        lookups={"code": "template__code", "current": _current, "text": "template__name__icontains"},
        show=_show_templates,
    ),
    Readable(
        name="tasks",
        title="检查任务",
        tag=VISITS,
        model=Task,
        shape=shapes.TaskShape,
        filters=shapes.TaskFilters,
        lookups={
            "unit": "unit",
            "site": "site",
            "state": "state__in",
            "overdue": _overdue,
            "mine": _mine,
            "from_on": "due_on__gte",
            "to_on": "due_on__lte",
            "text": "title__icontains",
        },
        order=("due_on", "id"),
        named=AT_SITE | BY_TEMPLATE | {"assignees": (Person, "name")},
    ),
    Readable(
        name="inspections",
        title="检查",
        tag=VISITS,
        model=Inspection,
        shape=shapes.InspectionShape,
        filters=shapes.InspectionFilters,
        lookups={
            "unit": "unit",
            "site": "site",
            "task": "task",
            "template": "version",
            "state": "state__in",
            "from_on": since("started_at"),
            "to_on": until("started_at"),
        },
        order=("-started_at", "-id"),
        named=AT_SITE
        | BY_TEMPLATE
        | {
            "creator_id": (Person, "name"),
            "participants": (Person, "name"),
            "submitted_by": (Person, "name"),
        },
        show=_show_visits,
    ),
    FINDINGS,
    Readable(
        name="quick_hazards",
        title="随手拍",
        tag=VISITS,
        model=QuickHazard,
        shape=shapes.QuickHazardShape,
        filters=shapes.QuickHazardFilters,
        lookups={
            "unit": "unit",
            "site": "site",
            "inspection": "inspection_id",
            "kind": "kind__in",
            "grade": "grade__in",
            "from_on": since("said_at"),
            "to_on": until("said_at"),
            "text": "text__icontains",
        },
        named=AT_SITE | BY_AUTHOR,
    ),
    Readable(
        name="submissions",
        title="补充提交",
        tag=VISITS,
        model=Submission,
        shape=shapes.SubmissionShape,
        filters=shapes.SubmissionFilters,
        lookups={"inspection": "inspection", "unit": "unit"},
        named=BY_AUTHOR,
    ),
    Readable(
        name="conflicts",
        title="两人记录不一致",
        tag=VISITS,
        model=Conflict,
        shape=shapes.ConflictShape,
        filters=shapes.ConflictFilters,
        lookups={
            "target": "target_id",
            "unit": "unit",
            "resolved": when(
                lambda rows, *_: rows.filter(resolved_at__isnull=False),
                lambda rows, *_: rows.filter(resolved_at__isnull=True),
            ),
        },
        named={"kept_by": (Person, "name"), "lost_by": (Person, "name"), "resolved_by": (Person, "name")},
    ),
    Readable(
        name="photos",
        title="照片",
        tag=VISITS,
        model=Photo,
        shape=shapes.PhotoShape,
        filters=shapes.PhotoFilters,
        lookups={
            "subject": "subject_id",
            "unit": "unit",
            "site": "site_id",
            "item_code": "item_code",
            "state": "state__in",
        },
        named=BY_AUTHOR | {"unit_id": (Organisation, "name")},
        show=_show_photos,
    ),
    RECTIFICATIONS,
    *(_statements(kind) for kind in StatementKind),
]


# Beside the collections: the history of an item, the text of a template


class HistoryView(ReadingView):
    """Everything found and said about one item that the person may see, in order of ordinal."""

    schema = ReadingSchema(
        shape=shapes.HistoryEntryShape,
        filters=shapes.HistoryFilters,
        tag=CURE,
        title="整改项的经过",
        name="history",
        many=True,
    )

    def get(self, request, doc_id: UUID) -> Response:
        asked = self.asked(shapes.HistoryFilters)
        item = RECTIFICATIONS.visible(asked).filter(pk=doc_id).first()
        if item is None:
            raise NotFound
        findings = item.findings.select_related("item")
        statements = item.statements.visible_to(asked.sight)
        page = merged_page_of(
            [findings, statements], column="ordinal", limit=asked.values["limit"], after=asked.values.get("after")
        )
        return Response({"items": _show_history(page.rows, asked), "next": page.next})


def _show_history(rows: list[Finding | Statement], asked: Asked) -> list[dict]:
    wires = wires_of([(row.collection, row.pk) for row in rows if isinstance(row, Statement)], asked.sight)
    documents = {row.pk: _finding(row) if isinstance(row, Finding) else wires.get(row.pk) for row in rows}
    with_names([document for document in documents.values() if document], FINDINGS.named | BY_AUTHOR)
    return [
        {
            "ordinal": row.ordinal,
            "collection": FINDINGS.name if isinstance(row, Finding) else row.collection,
            "document": documents[row.pk],
        }
        for row in rows
        if documents[row.pk]
    ]


class TemplateTextView(ReadingView):
    """The text of a published version, by its hash: the bytes never change, so whoever may read them may keep them."""

    schema = ReadingSchema(
        shape=shapes.TemplateTextShape, filters=Nothing, tag=CHECKLISTS, title="检查表的内容", name="template_text"
    )

    def get(self, request, sha256: str) -> HttpResponse:
        asked = self.asked(Nothing)
        published = TemplateVersion.objects.visible_to(asked.sight).filter(state=TemplateVersion.PUBLISHED)
        version = published.filter(sha256=sha256).only("content", "audience").first()
        if version is None:
            raise NotFound
        etag = f'W/"{sha256}"'  # weak: the same text, whatever its encoding
        if request.headers.get("If-None-Match") == etag:
            response = HttpResponse(status=304)
        else:
            response = HttpResponse(bytes(version.content), content_type="application/json")
        response["ETag"] = etag
        # a named reader's right may end: what is restricted is asked for again each time
        restricted = version.audience == Audience.RESTRICTED
        response["Cache-Control"] = "private, no-cache" if restricted else f"private, max-age={YEAR_SECONDS}, immutable"
        return pack(response, request)
