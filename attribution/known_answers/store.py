"""Where known answers lie: beside the weights, or else in a folder of the installation, recorded at first use.

A file beside the weights holds for whatever lies in that directory, also after an edit that gives the model another
revision: that is what it is there for. A file of the folder holds for one name and revision, layer included.
"""

import re
from hashlib import sha256
from pathlib import Path

from attribution.errors import ConfigurationError
from attribution.known_answers.answers import KnownAnswers
from attribution.known_answers.subject import Subject
from attribution.weights import KNOWN_ANSWERS

_NAME_LENGTH = 80


def reproduce(subject: Subject, folder: Path) -> KnownAnswers | None:
    """Compares with the known answers, or records those of a model that has none; the latter are returned.

    Raises ConfigurationError where the model answers otherwise, or the file is of another model; OSError where the
    folder cannot be read or written, so that nothing was compared.
    """
    if subject.directory is not None and check_beside(subject, subject.directory):
        return None
    path = folder / file_name(subject)
    known = KnownAnswers.read(path)
    if known is None:
        known = KnownAnswers.record(subject)
        if known.answers:
            known.write(path)
        return known
    remedy = f"If the change is intended, delete {path}: the next start records anew."
    if known.model != str(subject.ref):
        raise ConfigurationError(f"{path} holds the known answers of {known.model}, not of {subject.ref}. {remedy}")
    known.check(subject, path, remedy)
    return None


def check_beside(subject: Subject, directory: Path) -> bool:
    """Whether there are known answers beside the weights. Raises ConfigurationError where others are given."""
    path = directory / KNOWN_ANSWERS
    try:
        known = KnownAnswers.read(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    if known is None:
        return False
    remedy = f"If the change is intended, record anew: python -m attribution known-answers record {directory}"
    known.check(subject, path, remedy)
    return True


def file_name(subject: Subject) -> str:
    """One for each kind, name and revision; the name only helps people."""
    name = re.sub(r"[^A-Za-z0-9._=-]+", "-", subject.ref.name)[-_NAME_LENGTH:]
    return f"{subject.kind}-{name}-{sha256(str(subject.ref).encode()).hexdigest()[:16]}.json"
