"""Known answers: what a model must say of a few tiny images, again and exactly, before its answers are trusted.

`subject.py` names what is asked, `answers.py` records and compares, `store.py` knows where the files lie, `command.py`
is `python -m attribution known-answers`. Nothing here needs an ML wheel; the models that are asked bring their own.
"""

from attribution.known_answers.answers import FLOAT32_COSINE, LEAST_COSINE, KnownAnswers
from attribution.known_answers.store import reproduce
from attribution.known_answers.subject import Subject, subject_of_embedder, subjects_of_captioner

__all__ = [
    "FLOAT32_COSINE",
    "LEAST_COSINE",
    "KnownAnswers",
    "Subject",
    "reproduce",
    "subject_of_embedder",
    "subjects_of_captioner",
]
