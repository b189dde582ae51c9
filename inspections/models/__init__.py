"""The tables of evidence and cure; each file says what lives there."""

from inspections.models.catalogue import Basis, ChecklistItem, ChecklistTemplate, Citation, TemplateVersion

__all__ = ["Basis", "ChecklistItem", "ChecklistTemplate", "Citation", "TemplateVersion"]
