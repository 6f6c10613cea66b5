"""Captions and prompts that meet a text rule are never generated from, and not kept."""

import pytest

from app.db.models import DEFAULT_TENANT, JobStatus
from tests.workers.screening.conftest import Screened, noise_image


def test_a_prompt_that_meets_a_rule_is_refused(screened: Screened) -> None:
    """The caller's words are judged, before anything else is, and are gone from the row."""
    screened.rule("words", "forbidden\nno such thing", name="house rule")
    job = screened.ended(noise_image(1), prompt="A FORBIDDEN scene")
    screened.assert_refused(job, "text_rule", "house rule")
    assert "captioning" not in job.timings


def test_a_caption_that_meets_a_rule_is_refused(screened: Screened) -> None:
    """So are the captioner's, which every image here meets, and they never reach the row."""
    screened.rule("regex", "^an image in ", name="all")
    job = screened.ended(noise_image(1))
    screened.assert_refused(job, "text_rule", "all")
    assert "captioning" in job.timings
    assert screened.files() == []


def test_other_texts_pass(screened: Screened) -> None:
    """A rule stops what meets it, and nothing else."""
    screened.rule("words", "forbidden")
    screened.rule("regex", "forb.dden", name="another")
    assert screened.ended(noise_image(1), prompt="what is allowed").status == JobStatus.SUCCEEDED
    assert screened.ended(noise_image(1)).status == JobStatus.SUCCEEDED


def test_a_tenants_rule_is_for_its_own_texts(screened: Screened) -> None:
    """Another tenant's prompt passes it; a global rule applies to all tenants."""
    other = screened.tenant("other")
    screened.rule("words", "forbidden", name="ours", tenant_id=DEFAULT_TENANT)
    screened.assert_refused(screened.ended(noise_image(1), prompt="forbidden"), "text_rule", "ours")
    assert screened.ended(noise_image(1), other, prompt="forbidden").status == JobStatus.SUCCEEDED
    screened.rule("words", "forbidden", name="all-tenants")
    screened.assert_refused(screened.ended(noise_image(1), other, prompt="forbidden"), "text_rule", "all-tenants")


@pytest.mark.parametrize(("kind", "pattern"), [("regex", "("), ("words", " \n"), ("poem", "roses")])
def test_a_rule_that_cannot_be_read_lets_nothing_pass(screened: Screened, kind: str, pattern: str) -> None:
    """The job ends before anything is generated, and its error names the rule."""
    screened.rule(kind, pattern, name="broken")
    job = screened.ended(noise_image(1), prompt="harmless")
    assert job.status == JobStatus.FAILED
    assert job.error is not None
    assert "`broken`" in job.error["detail"]
    screened.assert_never_generated(job)
