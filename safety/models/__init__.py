"""Where, who, what became true, who must know."""

from safety.models.alert import Acknowledgement, Alert, AlertState, Channel, Delivery, DeliveryState, Severity
from safety.models.change import (
    Backup,
    Body,
    ChainHead,
    Change,
    Clock,
    EndedEpoch,
    Exit,
    Index,
    ScopeServed,
    ScopeSet,
)
from safety.models.device import Device, DeviceToken
from safety.models.document import Audience, Document, DocumentSet
from safety.models.duty import DutyShift, Seat
from safety.models.organisation import LegalMode, Organisation, OrganisationKind, SchoolKind, Site, SiteKind
from safety.models.person import BUREAU_SIDE, UNIT_SIDE, Person, Post, Role, ScopeDocument

__all__ = [
    "BUREAU_SIDE",
    "UNIT_SIDE",
    "Acknowledgement",
    "Alert",
    "AlertState",
    "Audience",
    "Backup",
    "Body",
    "ChainHead",
    "Change",
    "Channel",
    "Clock",
    "Delivery",
    "DeliveryState",
    "Device",
    "DeviceToken",
    "Document",
    "DocumentSet",
    "DutyShift",
    "EndedEpoch",
    "Exit",
    "Index",
    "LegalMode",
    "Organisation",
    "OrganisationKind",
    "Person",
    "Post",
    "Role",
    "SchoolKind",
    "ScopeDocument",
    "ScopeServed",
    "ScopeSet",
    "Seat",
    "Severity",
    "Site",
    "SiteKind",
]
