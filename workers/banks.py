"""The bank as ranking uses it in this process: the newest snapshot of a feature space, looked up once a minute."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db import bank_repository
from app.db.database import Database
from app.settings import BankSettings
from attribution.bank import Bank
from attribution.bank.files import load_banks, unpack_bank

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    bank: Bank | None
    checked_at: float


class Banks:
    """The newest bank of each feature space. For all threads."""

    def __init__(self, database: Database, settings: BankSettings) -> None:
        self._database = database
        self.settings = settings
        self._held: dict[str, _Held] = {}
        self._lock = Lock()

    @cached_property
    def shipped(self) -> Mapping[str, Bank]:
        """The shipped banks by feature space. Raises ConfigurationError."""
        return load_banks(self.settings.files)

    def check(self) -> None:
        """Reads the shipped banks, so that an unreadable one is an error at start. Raises ConfigurationError."""
        if self.settings.enabled:
            log.info("banks_shipped", spaces=sorted(self.shipped))

    def newest(self, space: str) -> Bank | None:
        """The bank of a feature space; None where there is none, or banks are switched off.

        The same object as long as the snapshot is the same, so that what it has calibrated is kept. Where Postgres is
        unavailable, the one before. Raises ConfigurationError where a shipped one is not readable.
        """
        if not self.settings.enabled:
            return None
        with self._lock:
            held = self._held.get(space)
            if held is None or time.monotonic() - held.checked_at > self.settings.refresh.total_seconds():
                bank = self._read(space, None if held is None else held.bank)
                self._held[space] = held = _Held(bank, time.monotonic())
            return held.bank

    def _read(self, space: str, before: Bank | None) -> Bank | None:
        try:
            with self._database.statement() as session:
                found = bank_repository.get_snapshot_unless(session, space, None if before is None else before.version)
        except SQLAlchemyError as error:
            log.warning("bank_not_read", error=type(error).__name__)
            return before
        if found is None:  # none was compiled yet
            return self.shipped.get(space)
        version, data = found
        return before if data is None else unpack_bank(data, f"The bank's snapshot {version}")
