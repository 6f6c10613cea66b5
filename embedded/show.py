"""What the demo prints: a job's progress, and its ranking at the end. Rich on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from embedded.client import Job

STAGES = ("fetching", "screening", "captioning", "resynthesising", "embedding", "ranking")
STYLES = {"done": "green", "running": "yellow", "pending": "dim"}


class Progress:
    """One job, live. On a terminal a picture that is redrawn; elsewhere one line per change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._said = ""

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def message(self, text: str) -> None:
        """Something to say while there is no job yet."""
        if self._live:
            self._live.update(Text(text), refresh=True)
        elif text != self._said:
            self._console.print(escape(text))
        self._said = text

    def job(self, job: Job) -> None:
        """The job's present state."""
        line = f"{job['status']}" + (f", {job['stage']}" if job["stage"] else "")
        if self._live:
            self._live.update(Group(Text(f"job {job['id']}: {line}", style="bold"), _sources(job)), refresh=True)
            return
        counts: dict[str, int] = {}
        for source in job["sources"]:
            counts[source["state"]] = counts.get(source["state"], 0) + 1
        self.message(f"{line}: sources " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())))


def _sources(job: Job) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for source in job["sources"]:
        state = source["state"]
        table.add_row(
            "  " + escape(source["source"]), Text(state, style=STYLES.get(state, "red")), escape(source["reason"] or "")
        )
    return table


def show_result(console: Console, job: Job, drawn_by: Mapping[str, str] | None = None) -> None:
    """The end of a job: caption, ranking with distances, margin, verdict, and where the time went.

    `drawn_by` says of each source who drew for it, where that needs to be said.
    """
    result = job["result"]
    if result is None:
        problem = job["error"] or {}
        console.print(
            f"[red]The job {job['status']}:[/] {escape(str(problem.get('detail') or problem or 'no reason'))}"
        )
        return
    console.print(f"caption   {escape(result['caption'])}  [dim]({escape(result['captioner'])})[/]")
    console.print(_ranking(result["ranking"], result["distance"], drawn_by))
    for source in job["sources"]:
        if source["state"] != "done":
            console.print(f"[dim]not ranked: {escape(source['source'])}, {source['state']}: {source['reason']}[/]")
    if result["margin"] is not None:
        console.print(f"margin    {result['margin']:.4f} (second best minus best)")
    console.print(f"verdict   [bold]{_verdict(result['verdict'])}[/]")
    spent = sorted(job["timings"].items(), key=lambda item: STAGES.index(item[0]) if item[0] in STAGES else len(STAGES))
    console.print("seconds   " + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in spent))


def show_spend(console: Console, job: Job) -> None:
    """What was ordered where, and what it cost."""
    spend = job["spend"]
    table = Table("asked", "orders", "images", "usd")
    for call in spend["calls"]:
        table.add_row(escape(call["source"]), str(call["calls"]), str(call["images"]), f"{call['usd']:.3f}")
    console.print(table)
    console.print(f"spent     {spend['usd']:.3f} of {spend['budget_usd']:.2f} USD, at the prices of the catalogue")


def _ranking(ranking: list[Job], distance: str, drawn_by: Mapping[str, str] | None) -> Table:
    whose = "family" if drawn_by is None else "drawn by"
    table = Table("", Column("source", no_wrap=True), whose, f"{distance} distance", "score", "of each drawing")
    for place, row in enumerate(ranking, start=1):
        each = " ".join(f"{value:.3f}" for value in row["distances"])
        figures = (f"{row['distance']:.4f}", f"{row['score']:.3f}", each)
        who = row["family"] if drawn_by is None else drawn_by[row["source"]]
        table.add_row(str(place), escape(row["source"]), escape(who), *figures)
    return table


def _verdict(verdict: Job) -> str:
    if verdict["source"]:
        return f"{verdict['kind']}: {escape(verdict['source'])}"
    return f"{verdict['kind']}" + (f": {verdict['reason']}" if verdict["reason"] else "")
