"""Images: what the sources generate, and one right and one wrong attribution with everything that decided them."""

from difflib import SequenceMatcher

from evaluation.report.figures.sheet import Tile, sheet
from evaluation.report.gather import Document, Results
from evaluation.report.section import Missing, Part, Plate, Section, text
from evaluation.report.words import short

_NAME = "zoo-examples"
_COLUMNS = 8


def zoo(results: Results) -> Section:
    """The first characters as each source generates them."""
    title = "The sources"
    if _NAME not in results:
        return Section("sources", title, [Missing(_NAME, "what the sources generate")])
    found = results[_NAME]["zoo"]
    sources = list(found["pictures"])
    tiles = [
        Tile(found["pictures"][source][at], short(source).replace("-", "-\n") if at == 0 else "")
        for at in range(len(found["characters"]))
        for source in sources
    ]
    described = "; ".join(f"{each['number']}: {each['description']}" for each in found["characters"])
    return Section(
        "sources",
        title,
        [
            Plate(
                "sources",
                [_NAME],
                "Originals, 64×64 pixels: a column for each source, a row for each character. The characters' primary "
                f"descriptions: {described}.",
                lambda: sheet(tiles, len(sources)),
            )
        ],
    )


def attributions(results: Results) -> Section:
    """Right and wrong; of either the one with the middle margin, so that nobody picked it."""
    title = "One right and one wrong attribution, explained"
    if _NAME not in results:
        return Section("examples", title, [Missing(_NAME, "a right and a wrong attribution")])
    document = results[_NAME]
    parts: list[Part] = [
        text(
            "Nobody picked these: of all right answers on the test side, and of all wrong ones, each is the one whose "
            "margin is in the middle. No interval belongs to a single answer."
        )
    ]
    for name in ("right", "wrong"):
        if document[name] is None:
            parts.append(text(f"There is no {name} answer on the test side."))
        else:
            parts += _explained(name, document[name], document)
    return Section("examples", title, parts)


def _explained(name: str, found: Document, document: Document) -> list[Part]:
    ranking = found["ranking"]
    tiles = [Tile(found["query"], f"the query,\ndrawn by {short(found['source'])}")]
    tiles += [
        Tile(
            each["picture"],
            f"{at}. {short(each['source'])}\n{each['distance']:.4f}",
            framed=each["source"] == found["source"],
        )
        for at, each in enumerate(ranking, 1)
    ]
    plate = Plate(
        f"example-{name}",
        [_NAME],
        f"A {name} attribution: the query, and every source's generating after its caption, nearest first, with its "
        f"{document['about']['distance']} distance; the frame marks the source that generated the query.",
        lambda: sheet(tiles, _COLUMNS),
    )
    return [
        text("The caption: “", found["caption"] or "", "”. The true description: “", found["description"], "”."),
        plate,
        text(" ".join(why(found, document))),
    ]


def why(found: Document, document: Document) -> list[str]:
    """What decided an answer, in sentences made of its figures."""
    ranking, families = found["ranking"], document["about"]["families"]
    names = [each["source"] for each in ranking]
    truth, named = short(found["source"]), short(found["named"])
    first, second = ranking[0], ranking[1]
    told = []
    if found["source"] == found["named"]:
        told.append(
            f"Right: {truth}'s own generated image is the nearest ({first['distance']:.4f}), {short(second['source'])}'s the "
            f"next ({second['distance']:.4f})."
        )
    else:
        rank = names.index(found["source"])
        told.append(
            f"Wrong: {named}'s generating is the nearest ({first['distance']:.4f}), while {truth}'s own is number "
            f"{rank + 1} ({ranking[rank]['distance']:.4f})."
        )
    margins = document["margins"]
    if margins["right"] is not None and margins["wrong"] is not None:
        told.append(
            f"The margin is {found['margin']:.4f}; over all queries the middle one is {margins['right']:.4f} where the "
            f"answer is right and {margins['wrong']:.4f} where it is wrong."
        )
    told.append(_captioned(found))
    if found["source"] != found["named"]:
        same = families.get(found["source"]) == families.get(found["named"])
        told.append(
            f"Both are of the family {families[found['source']]}."
            if same
            else f"The two are of different families ({families.get(found['source'])}, {families.get(found['named'])})."
        )
        told.append(
            f"Of {truth}'s {found['originals']} originals {found['named_so']} "
            f"{'is' if found['named_so'] == 1 else 'are'} attributed to {named}."
        )
    return told


def _captioned(found: Document) -> str:
    true, said = found["description"].split(), (found["caption"] or "").split()
    changes = [
        (" ".join(true[a:b]), " ".join(said[c:d]))
        for kind, a, b, c, d in SequenceMatcher(None, true, said, autojunk=False).get_opcodes()
        if kind != "equal"
    ]
    if not changes:
        return "The caption is the true description, word for word, so the sources were told the right thing."
    parts = [
        f"“{was}” became “{now}”" if was and now else f"“{was}” is missing" if was else f"“{now}” was added"
        for was, now in changes
    ]
    return f"In the caption {', '.join(parts)}; every source generated after that, the right one, too."
