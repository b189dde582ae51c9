"""The catalogue as files: its vocabulary here first; the rest of this module follows."""

from enum import StrEnum


class Kind(StrEnum):
    """What a row of the regulations is to us: only items go into templates."""

    ITEM = "item"  # looked at on a visit
    MECHANISM = "mechanism"  # a rule or procedure that the product itself keeps
    EVIDENCE = "evidence"  # collected from what is there already, never asked of a school again


class Grade(StrEnum):
    """The default grade if an item fails. `incident` stands for 重大*(事件): an event, not a hazard of the ledger."""

    NONE = "none"
    GENERAL = "general"
    SERIOUS = "serious"
    MAJOR_CANDIDATE = "major_candidate"
    INCIDENT = "incident"


class Photo(StrEnum):
    OPTIONAL = "optional"
    ON_FAIL = "on_fail"
    ALWAYS = "always"
    BAN = "ban"


class BanMode(StrEnum):
    CAMERA = "camera"  # no picture at all
    COVER_ONLY = "cover_only"  # the cover, the blank form or a count


class Disposition(StrEnum):
    RECTIFY = "rectify"
    TRANSFER = "transfer"


class Confidence(StrEnum):
    CERTAIN = "certain"
    LIKELY = "likely"
    VERIFY = "verify"
    NONE = "none"


class TemplateKind(StrEnum):
    FIXED = "fixed"
    CHOOSE = "choose"  # a fixed part and some of one's own choice
    GENERATOR = "generator"  # its items come from a document, a hazard or a clause when it is used


class Audience(StrEnum):
    REF = "ref"
    RESTRICTED = "restricted"
