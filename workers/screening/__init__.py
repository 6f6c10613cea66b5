"""Screening of a query image and its caption before anything is generated: lists, rules, hooks and a service."""

from workers.screening.chain import Screening, build_screening
from workers.screening.hooks import Hit, Hook, QueryImage, ScreenedCaption

__all__ = ["Hit", "Hook", "QueryImage", "ScreenedCaption", "Screening", "build_screening"]
