"""Stage `screening`: the hooks see the query image before anything else does."""

from app.store.models import Job, Stage
from workers.images import read_query
from workers.process import Process
from workers.screening import screen_caption, screen_image
from workers.stage import Advance


def screen(process: Process, job: Job) -> Advance:
    """Passes the job on, or raises Screened. A prompt that the caller gave is judged as a caption, too."""
    if process.hooks:
        screen_image(process.hooks, read_query(process.blobs, job))
        if job.prompt is not None:
            screen_caption(process.hooks, job.prompt)
    return Advance(to=Stage.CAPTIONING)
