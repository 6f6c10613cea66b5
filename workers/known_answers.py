"""Has the models of this process reproduce their known answers: what answers otherwise must not take a job."""

import structlog

from attribution.known_answers import Subject, reproduce, subject_of_embedder, subjects_of_captioner
from workers.process import Process

log = structlog.get_logger(__name__)


def check_captioners(process: Process) -> None:
    """Every captioner that a job may name. Raises ConfigurationError where one describes a known image otherwise."""
    settings = process.settings.models
    for name, spec in settings.offered.items():
        captioner = process.models.captioner(name)
        for subject in subjects_of_captioner(captioner, spec, settings.dtype or "float32", settings.device):
            _check(process, subject)


def check_embedders(process: Process) -> None:
    """Every embedder that a job may name. Raises ConfigurationError where features of a known image are others."""
    settings = process.settings.models
    for name, spec in settings.offered_embedders.items():
        subject = subject_of_embedder(process.models.embedder(name), spec, settings.device)
        if subject is not None:
            _check(process, subject)


def _check(process: Process, subject: Subject) -> None:
    folder = process.settings.models.known_answers
    try:
        recorded = reproduce(subject, folder)
    except OSError as error:
        reason = (
            f"The known answers of {subject.ref} cannot be kept in {folder} ({error.strerror}): nothing was compared. "
            "Set MODELS__KNOWN_ANSWERS to a directory that this process may write."
        )
        log.warning("known_answers_not_kept", model=str(subject.ref), reason=reason)
        return
    if recorded is None:
        log.info("known_answers_reproduced", model=str(subject.ref))
    elif recorded.answers:
        log.info("known_answers_recorded", model=str(subject.ref), images=len(recorded.answers), folder=str(folder))
    else:
        reason = f"Every caption of {subject.ref} changes with the slightest noise, so none can be compared."
        log.warning("known_answers_not_kept", model=str(subject.ref), reason=reason)
