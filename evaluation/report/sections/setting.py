"""Where and with what it was measured: machine, versions, weights, and the command behind each result."""

from markupsafe import Markup

from evaluation.report.gather import Results
from evaluation.report.html import Missing, Part, Section, anchor, bullets, code, table, text

_SHOWN = 16  # digits of a hash; the whole is in the results
_SHARED = {"captioner", "clip", "clip-onnx"}  # of all sources


def setting(results: Results) -> Section:
    """Everything that a repetition needs."""
    parts: list[Part] = [
        text(
            "Every result is a file in ",
            code("results/"),
            " beside this page, with the command that made it. ",
            code("make evaluate"),
            " repeats all of it; steps that are done are not repeated.",
        ),
        _commands(results),
        _machines(results),
        *_dataset(results),
    ]
    return Section("setting", "Machine, versions, weights and commands", parts)


def _commands(results: Results) -> Markup:
    rows = []
    for name in results.documents:
        made = results.made(name)
        rows.append(
            [
                anchor(name, f"made-{name}"),
                made.get("at", "not noted").replace("T", " ").removesuffix("+00:00"),
                f"{made['seconds']:.0f}" if "seconds" in made else "not noted",
                code(made["command"]) if "command" in made else "not noted",
            ]
        )
    return table(
        ["result", "made, UTC", "seconds", "command"],
        rows,
        "Seconds are those of the run that wrote the file; earlier results came from the store.",
    )


def _machines(results: Results) -> Markup:
    """A column for each machine, and each set of versions, that results name."""
    seen: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name in results.documents:
        made = results.made(name)
        if "machine" in made:
            columns = {
                **{key.replace("_gib", ", GiB"): str(value) for key, value in made["machine"].items()},
                **made["versions"],
            }
            seen.setdefault(tuple(columns.items()), []).append(name)
    keys = list(dict.fromkeys(key for columns in seen for key, _ in columns))
    head = ["", *(f"{len(names)} results" if len(seen) > 1 else "all results that note it" for names in seen.values())]
    return table(head, [[key, *(dict(columns).get(key, "–") for columns in seen)] for key in keys])


def _dataset(results: Results) -> list[Part]:
    if "dataset" not in results:
        return [Missing("dataset", "what the dataset is made of, and the hashes of all weights")]
    document = results["dataset"]
    sides: dict[str, int] = {}
    for character in document["characters"]:
        sides[character["side"]] = sides.get(character["side"], 0) + 1
    about = (
        f"The dataset: {len(document['characters'])} characters ("
        + ", ".join(f"{count} {side}" for side, count in sides.items())
        + f"), {document['originals']} originals, {document['resyntheses']} resyntheses, "
        f"γ = {document['images_per_source']}, captions by {document['captioner']}."
    )
    rows = [
        [source["id"], source["family"], source["part"], source["revision"], _hashes(source["weights"])]
        for source in document["sources"]
    ]
    others = [[name, _short(value)] for name, value in document["weights"].items() if name.partition("/")[0] in _SHARED]
    return [
        text(about),
        table(["source", "family", "part", "revision", "sha256 of its weights"], rows),
        table(["captioner and embedder", "sha256"], others),
    ]


def _hashes(weights: dict[str, str]) -> Markup:
    return bullets(Markup("{} {}").format(name, _short(value)) for name, value in weights.items())


def _short(value: str) -> Markup:
    return code(value[:_SHOWN], title=value)
