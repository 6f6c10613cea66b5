"""Known answers: what a model must say of a few tiny images, again and exactly, before its answers are trusted.

`subject.py` names what is asked, `answers.py` records, compares and keeps them, `command.py`
is `python -m attribution known-answers`. Nothing here needs an ML wheel; the models that are asked bring their own.
"""

from attribution.known_answers.answers import FLOAT32_COSINE, LEAST_COSINE, KnownAnswers, reproduce
from attribution.known_answers.subject import AnswerSubject, subject_of_embedder, subjects_of_captioner

__all__ = [
    "FLOAT32_COSINE",
    "LEAST_COSINE",
    "AnswerSubject",
    "KnownAnswers",
    "reproduce",
    "subject_of_embedder",
    "subjects_of_captioner",
]
