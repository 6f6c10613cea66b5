"""Which function works on which stage. Resynthesizing is not among them: it has a task per source."""

from app.db.models import Stage
from workers.caption import caption
from workers.embed import embed
from workers.fetch import fetch
from workers.rank import rank
from workers.screen import screen
from workers.stage import Work

STAGES: dict[Stage, Work] = {
    Stage.FETCHING: fetch,
    Stage.SCREENING: screen,
    Stage.CAPTIONING: caption,
    Stage.EMBEDDING: embed,
    Stage.RANKING: rank,
}
