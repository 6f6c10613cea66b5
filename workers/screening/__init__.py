"""What sees a query image and its caption before anything is drawn: lists and rules in the database, and hooks."""

from workers.screening.hooks import Caption, Hit, Hook, QueryImage
from workers.screening.screening import Screening, build_screening

__all__ = ["Caption", "Hit", "Hook", "QueryImage", "Screening", "build_screening"]
