"""Celery's transport for Redis, for which a Redis that takes no messages is one that is unavailable for a while.

Kombu takes the refusal of a full Redis for an error of the program, and the worker ends.
"""

from kombu.transport.redis import Transport
from redis.exceptions import OutOfMemoryError, ReadOnlyError

NAME = f"{__name__}:PatientTransport"
_REFUSALS = (OutOfMemoryError, ReadOnlyError)


class PatientTransport(Transport):
    """After a refusal the worker connects again; what it had taken meanwhile, the sweep enqueues again."""

    connection_errors = (*Transport.connection_errors, *_REFUSALS)
