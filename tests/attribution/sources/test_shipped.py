"""The catalog that ships: without mistakes, and with all sources of the papers."""

from datetime import date
from pathlib import Path

import pytest

from attribution.catalog import LifecycleState, SeedSupport, load_catalog
from attribution.sources.check import Severity, check
from tests.attribution.command_line import main

SOURCES = Path(__file__).parents[3] / "sources"
TODAY = date(2026, 11, 27)
CATALOG = load_catalog([SOURCES])

# Each source of the papers (arXiv 2403.01489 and 2510.24278): its files, of which the first is the source itself.
PAPERS = {
    "Stable Diffusion": ["sd-1-5", "sd-2-1", "sdxl", "sd-1-5-automatic1111", "sdxl-comfyui", "sdxl-huggingface"],
    "Latent Diffusion": ["ldm"],
    "GLIDE": ["glide"],
    "DALL·E": ["dall-e-2", "dall-e-3"],
    "Bing": ["bing-image-creator"],
    "Firefly": ["firefly-image-3", "firefly-image-4"],
    "Flux-dev": ["flux-1-dev", "flux-1-dev-bfl", "flux-1-dev-fal", "flux-1-dev-replicate", "flux-2-dev-together"],
    "Freepik": ["freepik-mystic"],
    "Imagen 3": ["imagen-3"],
    "Leonardo": ["leonardo-phoenix"],
    "Midjourney": ["midjourney"],
    "NightCafe": ["nightcafe"],
    "SD3": ["sd-3-medium", "sd-3-5-medium", "sd-3-5-large-stability"],
    "starryai": ["starryai-lyra"],
    "AuraFlow": ["auraflow", "auraflow-fal"],
    "PixArt": ["pixart-sigma"],
    "Playground": ["playground-2-5"],
    "Hunyuan": ["hunyuan-dit"],
}
# Of these there is nothing that could be asked in their place.
EXPLAINED = {"GLIDE", "Midjourney", "NightCafe"}


def test_no_file_has_a_mistake() -> None:
    """There is no error; warnings and notes are allowed, because days approach and vendors name no versions."""
    errors = [finding for finding in check([SOURCES], TODAY) if finding.severity is Severity.ERROR]
    assert [str(finding) for finding in errors] == []


def test_files_are_called_as_their_sources() -> None:
    """Each file is named after its source's id."""
    assert [source.file.stem for source in CATALOG.sources] == [source.id for source in CATALOG.sources]


def test_the_papers_have_eighteen_sources() -> None:
    """Four sources of one paper, ten and four of the other."""
    assert len(PAPERS) == 18


@pytest.mark.parametrize("name", PAPERS)
def test_every_source_of_the_papers_is_live_or_has_a_successor_or_a_reason(name: str) -> None:
    """The successor of a source is available itself."""
    sources = [CATALOG.get(each) for each in PAPERS[name]]
    if sources[0].obstacle(TODAY) is None:
        return
    successors = [source.lifecycle.successor for source in sources]
    assert all(source.obstacle(TODAY) is not None for source in sources)
    if name in EXPLAINED:
        assert sources[0].lifecycle.state is LifecycleState.NO_API
        assert sources[0].lifecycle.note
        assert successors == [None]
    else:
        assert all(each and CATALOG.get(each).obstacle(TODAY) is None for each in successors)


def test_the_papers_sources_are_documented() -> None:
    """docs/sources.md lists every source of the papers and every file that ships."""
    text = (SOURCES.parent / "docs" / "sources.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for name, files in PAPERS.items():
        assert any(all(f"`{each}`" in row for each in files) for row in rows), name
    shipped = [source.id for source in CATALOG.sources if not source.id.startswith("zoo-")]
    assert [each for each in shipped if f"`{each}`" not in text] == []


def test_only_the_zoo_is_enabled() -> None:
    """No external source is enabled by default, so nothing is sent to third parties or billed."""
    assert {source.id for source in CATALOG.sources if source.enabled and not source.id.startswith("zoo-")} == set()


def test_vendors_are_described_in_full() -> None:
    """An available external source has terms and a limit on calls at once, and without seeds a recommended γ."""
    asked = [source for source in CATALOG.sources if source.external and source.obstacle(TODAY) is None]
    assert len({source.adapter for source in asked}) >= 14
    for source in asked:
        assert source.terms, source.id
        assert source.limits.concurrency, source.id
        assert (source.seed is SeedSupport.YES) or (source.images_per_source or 0) > 1, source.id


def test_the_list_warns_of_what_ends_soon(capsys: pytest.CaptureFixture[str]) -> None:
    """`sources list` shows every source."""
    assert main(["sources", "list", "--catalog", str(SOURCES)]) == 0
    printed = capsys.readouterr().out
    assert all(source.id in printed for source in CATALOG.sources)
    assert "midjourney: Midjourney offers no API" in printed
    assert "dall-e-3: DALL·E 3 was switched off on 2026-05-12. Its successor is gpt-image-2." in printed


def test_the_check_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    """`sources check` has exit code 0."""
    code = main(["sources", "check", "--catalog", str(SOURCES)])
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("0 errors, ")
    assert last.endswith(" notes")
    assert code == 0
