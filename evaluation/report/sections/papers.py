"""The papers' figures and tables: where each is on this page, or why it is not."""

from markupsafe import Markup

from evaluation.report.gather import Results
from evaluation.report.html import Part, Section, link, table, text

_R, _G = "arXiv 2510.24278", "arXiv 2403.01489"
# (paper, what it shows, sections of this page, what is different here)
_ROWS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        _R,
        "the method's scheme",
        (),
        "Not a measurement: docs/method.md shows it, with images of a run.",
    ),
    (
        _R,
        "the dataset: characters, primary and secondary descriptions, resyntheses",
        ("sources", "setting"),
        "The same procedure and the published split, with the zoo's sources. Its images are the authors'; "
        "`python -m evaluation import images` reads them, and every command then runs on them.",
    ),
    (
        _R,
        "figure 4: accuracy against shots per class, for 10, 12 and 14 classes",
        ("t1",),
        "With all five baselines, on the zoo's dataset.",
    ),
    (
        _R,
        "accuracy and confusion between the ten sources",
        ("accuracy",),
        "Ten, twelve and fourteen sources of the zoo.",
    ),
    (
        _R,
        "the extension by four sources",
        ("accuracy", "t1"),
        "Twelve and fourteen classes. The four that are added are relatives of four of the ten, which is harder.",
    ),
    (
        _R,
        "distances: cosine, euclidean, manhattan, correlation",
        ("distances",),
        "With SSIM and a hybrid beside them. On the published feature files `python -m evaluation import features` "
        "repeats the published scripts to the last prediction; the files are the authors', and are not here.",
    ),
    (
        _R,
        "the seventeen distortions of the published scripts",
        ("distortions",),
        "All, with their ranges of parameters, on the zoo; on real images those shown there.",
    ),
    (
        _R,
        "ChatGPT's descriptions",
        ("captioners",),
        "Not measured: a vision-language model costs money, and images are sent to a third party. Any that speaks the "
        "chat-completions protocol can be named with --vlm.",
    ),
    (
        _R,
        "Bing, Firefly, Imagen 3, Midjourney and the other sources by name",
        (),
        "Not here: most cannot be called by a program, and none without an account. docs/vendors.md lists them.",
    ),
    (
        _G,
        "accuracy with the natural prompt, by model",
        ("captioners", "distances", "gamma"),
        "The zoo with the captioner “given”. Real images by DALL·E mini, GLID-3-XL and Latent Diffusion serve as each "
        "other's resyntheses: relatives of its DALL·E, GLIDE and Latent Diffusion, not the same models. Stable "
        "Diffusion is in the catalog, but was not run: its weights are not part of this project.",
    ),
    (_G, "BLIP beside PEZ", ("captioners",), "With BLIP refined by PEZ beside them."),
    (
        _G,
        "the number of images per source γ, accuracy and cost",
        ("gamma",),
        "γ = 1, 2, 4, 8. Its own values are not known to us.",
    ),
    (
        _G,
        "table 4: JPEG, Gaussian blur, resizing",
        ("distortions",),
        "Named jpeg, gaussian-blur and half-size. Its strengths are not known to us, so figures cannot be compared "
        "one by one.",
    ),
    (_G, "CosCLIP beside SSIM", ("distances",), "On the zoo and on real images."),
    (
        _G,
        "as a plug-in: 3 to 5 points more",
        ("plug-in",),
        "Its rule is not known to us; here it is a weighted sum of z-scores, weight chosen on validation data.",
    ),
    (_G, "quality of the prompt against accuracy", ("captions",), "By CLIP's text features, and by words in common."),
    (_G, "examples of regenerated images", ("examples", "sources"), "One right answer, and one wrong."),
    (_G, "adversarial changes: not tested there", ("distortions",), "One white-box attack, the row pgd."),
)


def papers(results: Results) -> Section:
    """A table; nothing in it depends on results."""
    rows = [[paper, shows, _places(places), note] for paper, shows, places, note in _ROWS]
    parts: list[Part] = [
        text(f"{_R} is Resynthesis (WIFS 2025), {_G} is Regeneration (2024)."),
        table(["paper", "what it shows", "here", "what is different, or why not"], rows),
    ]
    return Section("papers", "The papers' figures and tables", parts)


def _places(anchors: tuple[str, ...]) -> Markup:
    return Markup(", ").join(link(anchor, f"#{anchor}") for anchor in anchors) or Markup("not here")
