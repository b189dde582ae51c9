"""What was looked at, what was found, and how it is cured."""

from inspections.models.catalogue import Basis, ChecklistItem, ChecklistTemplate, Citation, TemplateVersion
from inspections.models.inspection import (
    Conflict,
    Finding,
    FindingKind,
    Grade,
    Inspection,
    InspectionState,
    OfSite,
    QuickHazard,
    Submission,
    Task,
)
from inspections.models.photo import Blob, BlobHolder, Derivation, Photo, PhotoState, ShownCopy
from inspections.models.rectification import ENDED, ItemState, RectificationItem, Statement, StatementKind

__all__ = [
    "ENDED",
    "Basis",
    "Blob",
    "BlobHolder",
    "ChecklistItem",
    "ChecklistTemplate",
    "Citation",
    "Conflict",
    "Derivation",
    "Finding",
    "FindingKind",
    "Grade",
    "Inspection",
    "InspectionState",
    "ItemState",
    "OfSite",
    "Photo",
    "PhotoState",
    "QuickHazard",
    "RectificationItem",
    "ShownCopy",
    "Statement",
    "StatementKind",
    "Submission",
    "Task",
    "TemplateVersion",
]
