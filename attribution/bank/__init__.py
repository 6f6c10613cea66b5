"""What past jobs teach: residuals of images whose source is known, a model of sources, and its calibration."""

from attribution.bank.bank import Bank, Experience
from attribution.bank.past_job import PastJob, past_job

__all__ = ["Bank", "Experience", "PastJob", "past_job"]
