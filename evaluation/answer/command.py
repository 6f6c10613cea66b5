"""`python -m evaluation answer`: how good the default method's answer is, on real images and on the demo models.

The bank of the demo models is the shipped one, made of calibration characters; queries are of test characters.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from attribution.bank import Bank
from attribution.bank.basis import make_basis, projected
from attribution.bank.files import load_banks, pack_bank
from attribution.build import Placement, build_embedder
from attribution.catalog import load_catalog
from attribution.embed.stage import feature_space
from attribution.errors import ConfigurationError
from attribution.ports import Embedder, Method, Policy
from evaluation import options
from evaluation.answer.figure import save_growth
from evaluation.answer.jobs import KnownJob, compared_alike, dataset_jobs, distorted_jobs, gallery_jobs
from evaluation.answer.measure import (
    Answer,
    Banks,
    accuracy,
    answer,
    gain,
    images_used,
    other_groups,
    past_jobs,
    race,
    verdicts,
)
from evaluation.answer.real_clip import make_real_clip
from evaluation.answer.strangers import stranger_jobs
from evaluation.answer.ten import Originals, resynthesized
from evaluation.characters import select_characters
from evaluation.dataset import Dataset
from evaluation.distort.distortions import DISTORTIONS, SAME_IMAGE
from evaluation.generation import GenerationPool, ModelSet
from evaluation.make import DatasetRecipe, make
from evaluation.provenance import save
from evaluation.real import Gallery
from evaluation.store import MODELS, STORE, WORK, Store
from perf.report import Requirement, finish
from zoo.captions import Split

SEED = 2026
FOUR = ("zoo-dit", "zoo-lcm", "zoo-mmdit", "zoo-unet")
TEN = (*FOUR, "zoo-vunet", "zoo-pixart", "zoo-sd3", "zoo-flux", "zoo-amused", "zoo-pixel")
_BANK_CHARACTERS, _BANK_SEED = 50, 17  # of the shipped bank, as `make evaluate-bank` has them
STRANGERS = ("zoo-pixart", "zoo-sd3", "zoo-flux", "zoo-amused", "zoo-pixel")
_CAPTIONER = "blip:zoo/models/captioner"
_DATA = "WHODREW_TEST_DATA"  # the folder with real images
# Folder, past jobs with γ = 4 and with γ = 1, and the lowest accuracies that are accepted: without a bank and with one.
_REAL: tuple[tuple[str, int, tuple[int, int], dict[str, float]], ...] = (
    ("vendors-2025", 4, (4, 20), {"none_4": 0.90, "bank_4": 0.90, "none_1": 0.76, "bank_1": 0.84}),
    ("real-generators", 4, (12, 12), {"none_4": 0.72, "bank_4": 0.79}),
)
_DISTORTIONS = ("jpeg-85", "jpeg-75", "jpeg-50", "webp-80", "size-50", "half-size", "social", "twitter")
_ONE_FAMILY = {"glid-3-xl": "latent-diffusion-laion400m"}


def answer_command(
    characters: Annotated[int, typer.Option(min=2, help="test characters, each by four demo models")] = 100,
    bank: Annotated[Path, typer.Option(help="the bank of the demo models")] = MODELS / "bank.npz",
    work: Annotated[Path, typer.Option(help="where images are made, once")] = WORK / "answer",
    store: options.Store = STORE,
    processes: options.Processes = options.CPUS,
    ten: Annotated[int, typer.Option(help="of these characters, those asked about with ten sources; hours")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON of all figures")] = None,
    figure: Annotated[Path | None, typer.Option(help="an SVG of accuracy by past jobs")] = None,
) -> None:
    """Measures accuracy, verdicts, sets and probabilities; ends with one JSON line."""
    figures: dict[str, Any] = {}
    wanted: list[Requirement] = []
    _real(work, Store(store), figures, wanted)
    _demo(characters, bank, work, store, processes, figures, wanted)
    if ten:
        _ten(characters, ten, store, processes, figures, wanted)
    if out is not None:
        save(out, figures)
    if figure is not None:
        save_growth(figures["demo_growth"], figures["demo_cosine_4"], figure)
    finish("answer", figures, wanted)


def make_bank(
    directory: Annotated[Path, typer.Argument(help="a dataset of calibration characters")],
    out: Annotated[Path, typer.Option(help="the bank's file")] = MODELS / "bank.npz",
    embedder: options.Embedder = options.EMBEDDER,
    store: options.Store = STORE,
) -> None:
    """Makes a bank of a dataset's resyntheses, such as the one that ships with the demo models."""
    dataset = Dataset.open(directory)
    built = build_embedder(embedder, Placement())
    past = past_jobs(dataset_jobs(dataset, built, Store(store)), dataset.revisions)
    basis = make_basis(past)
    bank = Bank(feature_space(built.ref), tuple(projected(job, basis) for job in past), basis)
    out.write_bytes(pack_bank(bank))
    print(f"{len(bank.past)} jobs of {len(bank.jobs)} sources, {out.stat().st_size:,} bytes, {bank.version}: {out}")


def _real(work: Path, store: Store, figures: dict[str, Any], wanted: list[Requirement]) -> None:
    folder = os.environ.get(_DATA)
    if not folder:
        print(f"{_DATA} is not set: real images are left out")
        return
    make_real_clip(work / "clip-b16")
    embedder = build_embedder(f"onnx:local-dir:{work / 'clip-b16'}", Placement())
    for name, most, counts, floors in _REAL:
        gallery = Gallery.open(Path(folder) / name).alike(store)
        for images, count in zip((most, 1), counts, strict=True):
            jobs = gallery_jobs(gallery, embedder, store, images, repeats=2 if images > 1 else 4)
            past = past_jobs(jobs)
            jobs = compared_alike(jobs, embedder, store)
            banks = other_groups(jobs, past, count)
            found = {
                "cosine": answer(jobs, Method.COSINE),
                "none": answer(jobs),
                "bank": answer(jobs, banks=banks),
            }
            if images > 1:
                found["race"] = race(jobs, images, banks)
            for kind, answers in found.items():
                key = f"{name}_{kind}_{images}"
                figures[key] = accuracy(answers)
                if name == "real-generators":
                    figures[f"{key}_families"] = accuracy(answers, _ONE_FAMILY)
                if (floor := floors.get(f"{kind}_{images}")) is not None:
                    wanted.append(Requirement(key, figures[key]["accuracy"], at_least=floor))
                if kind == "race":
                    figures[key] |= images_used(answers, images)
                print(key, json.dumps(figures[key]), flush=True)


def _demo(
    characters: int,
    file: Path,
    work: Path,
    store: Path,
    processes: int,
    figures: dict[str, Any],
    wanted: list[Requirement],
) -> None:
    catalog_paths = options.CATALOG_DEFAULT
    catalog = load_catalog(catalog_paths)
    recipe = DatasetRecipe(
        select_characters(characters, Split.TEST, SEED), tuple(map(catalog.get, FOUR)), (), 4, _CAPTIONER, "test", SEED
    )
    embedder = build_embedder(options.EMBEDDER, Placement())
    models = ModelSet(tuple(catalog_paths), store, _CAPTIONER, Placement(batch_size=8))
    with GenerationPool(models, processes) as pool:
        dataset = make(recipe, pool, work / "test")
        plain = dataset_jobs(dataset, embedder, Store(store))
        strangers = stranger_jobs(
            pool, [catalog.get(name) for name in STRANGERS], recipe.selected, plain, embedder, SEED
        )
        jobs = compared_alike(plain, embedder, Store(store))
    families = {source.id: source.family for source in catalog.sources}
    whole = _bank(file, embedder)
    _distorted(jobs, whole, embedder, Store(store), dataset.revisions, families, figures, wanted)
    growth = {}
    for count in (0, 5, 10, 20, 50, 100, 200):
        step = max(1, len(whole.past) // max(count, 1))
        bank = replace(whole, past=whole.past[::step][:count]) if count else None
        growth[str(count)] = accuracy(answer(jobs, Method.RESIDUAL, _always(bank), dataset.revisions, families))
    figures["demo_growth"] = growth
    young = replace(whole, past=whole.past[:: max(1, len(whole.past) // 20)][:20])
    for key, images, bank, floor in (
        ("demo_cosine_4", 4, None, None),
        ("demo_none_4", 4, None, 0.74),
        ("demo_bank20_4", 4, young, 0.80),
        ("demo_bank200_4", 4, whole, 0.84),
    ):
        method = Method.COSINE if "cosine" in key else Method.RESIDUAL
        asked = [job.only(FOUR, images) for job in jobs]
        answers = answer(asked, method, _always(bank), dataset.revisions, families)
        figures[key] = accuracy(answers)
        if floor is not None:
            wanted.append(Requirement(key, figures[key]["accuracy"], at_least=floor))
            figures[f"{key}_gain_over_cosine_95"] = gain(answers, answer(asked, Method.COSINE))
        print(key, json.dumps(figures[key]), flush=True)
        if bank is not None:
            figures[f"{key}_open"] = verdicts(answers)
            closed = answer(asked, method, _always(bank), dataset.revisions, families, Policy.CLOSED)
            figures[f"{key}_closed"] = verdicts(closed)
            theirs = answer(
                [job.only(FOUR, images) for job in strangers], method, _always(bank), dataset.revisions, families
            )
            figures[f"{key}_strangers"] = verdicts(theirs)
            wanted += _verdicts_wanted(key, figures, young=bank is young)
            for policy in ("open", "closed", "strangers"):
                print(key, policy, json.dumps(figures[f"{key}_{policy}"]), flush=True)
            raced = _raced(key, asked, strangers, bank, dataset.revisions, families, figures)
            if bank is whole:
                images = figures[f"{key}_race"]["images_share"]
                wanted.append(Requirement("race: share of the images of γ = 4", images, at_most=0.6))
                lost = figures[key]["accuracy"] - figures[f"{key}_race"]["accuracy"]
                wanted.append(Requirement("race: accuracy lost", lost, at_most=0.01))
                figures[f"{key}_race_gain_95"] = gain(raced, answers)


def _raced(
    key: str,
    asked: Sequence[KnownJob],
    strangers: Sequence[KnownJob],
    bank: Bank,
    revisions: Mapping[str, str],
    families: Mapping[str, str],
    figures: dict[str, Any],
) -> list[Answer]:
    """The same jobs by racing."""
    raced = race(asked, 4, _always(bank), revisions, families)
    theirs = race([job.only(FOUR) for job in strangers], 4, _always(bank), revisions, families)
    closed = race(asked, 4, _always(bank), revisions, families, Policy.CLOSED)
    figures[f"{key}_race"] = accuracy(raced) | images_used(raced, 4)
    figures[f"{key}_race_open"] = verdicts(raced)
    figures[f"{key}_race_closed"] = verdicts(closed)
    figures[f"{key}_race_strangers"] = verdicts(theirs) | images_used(theirs, 4)
    for kind in ("race", "race_open", "race_closed", "race_strangers"):
        print(key, kind, json.dumps(figures[f"{key}_{kind}"]), flush=True)
    return raced


def _distorted(
    jobs: Sequence[KnownJob],
    bank: Bank,
    embedder: Embedder,
    store: Store,
    revisions: Mapping[str, str],
    families: Mapping[str, str],
    figures: dict[str, Any],
    wanted: list[Requirement],
) -> None:
    """The query alone compressed and resized, beside the clean one."""
    clean = accuracy(answer(jobs, Method.RESIDUAL, _always(bank), revisions, families))["accuracy"]
    kept = []
    for name in _DISTORTIONS:
        answers = answer(
            distorted_jobs(jobs, {**DISTORTIONS, **SAME_IMAGE}[name], embedder, store),
            Method.RESIDUAL,
            _always(bank),
            revisions,
            families,
        )
        found = accuracy(answers) | {"sets_cover": verdicts(answers)["sets_cover"]}
        figures[f"demo_{name}"] = found
        kept.append(found["accuracy"] / clean)
        wanted.append(Requirement(f"demo, {name}: sets cover", found["sets_cover"], at_least=0.85))
        print(f"demo_{name}", json.dumps(found), flush=True)
    wanted.append(Requirement("distorted queries, mean of clean", sum(kept) / len(kept), at_least=0.90))
    wanted.append(Requirement("distorted queries, worst of clean", min(kept), at_least=0.80))


def _ten(
    characters: int, chosen: int, store: Path, processes: int, figures: dict[str, Any], wanted: list[Requirement]
) -> None:
    """Ten sources: originals by three of them of each character; the bank's are those of the shipped one."""
    catalog_paths = options.CATALOG_DEFAULT
    catalog = load_catalog(catalog_paths)
    sources = [catalog.get(name) for name in TEN]
    queries = Originals(select_characters(characters, Split.TEST, SEED)[:chosen], sources, 3, SEED)
    learned = Originals(
        select_characters(_BANK_CHARACTERS, Split.CALIBRATION, _BANK_SEED), sources[: len(FOUR)], len(FOUR), _BANK_SEED
    )
    embedder = build_embedder(options.EMBEDDER, Placement())
    models = ModelSet(tuple(catalog_paths), store, _CAPTIONER, Placement(batch_size=8))
    with GenerationPool(models, processes) as pool:
        jobs = compared_alike(resynthesized(pool, queries, sources, 4, embedder), embedder, Store(store))
        past = past_jobs(resynthesized(pool, learned, sources, 4, embedder))
    basis = make_basis(past)
    bank = Bank(feature_space(embedder.ref), tuple(projected(job, basis) for job in past), basis)
    cosine = answer(jobs, Method.COSINE)
    families = {source.id: source.family for source in sources}
    for name, answers in (
        ("cosine", cosine),
        ("none", answer(jobs)),
        ("bank200", answer(jobs, Method.RESIDUAL, _always(bank), families=families)),
    ):
        figures[f"ten_{name}_4"] = accuracy(answers) | {"gain_over_cosine_95": gain(answers, cosine)}
        print(f"ten_{name}_4", json.dumps(figures[f"ten_{name}_4"]), flush=True)
    wanted += [
        Requirement(
            "ten sources, no bank: gain over cosine", figures["ten_none_4"]["gain_over_cosine_95"][0], at_least=0
        ),
        Requirement("ten sources, bank of 200", figures["ten_bank200_4"]["accuracy"], at_least=0.65),
    ]


def _verdicts_wanted(key: str, figures: Mapping[str, Any], young: bool) -> Sequence[Requirement]:
    strangers = Requirement(f"{key}: strangers named", figures[f"{key}_strangers"]["named"], at_most=0.02)
    if young:
        return [strangers]
    known, closed = figures[f"{key}_open"], figures[f"{key}_closed"]
    return [
        strangers,
        Requirement(f"{key}: named", known["named"], at_least=0.35),
        Requirement(f"{key}: named rightly", known["named_rightly"] or 0.0, at_least=0.95),
        Requirement(f"{key}: sets cover", known["sets_cover"] or 0.0, at_least=0.87, at_most=0.93),
        Requirement(f"{key}: calibration error", known["calibration_error"] or 0.0, at_most=0.06),
        Requirement(f"{key}, closed: named", closed["named"], at_least=0.50),
        Requirement(f"{key}, closed: named rightly", closed["named_rightly"] or 0.0, at_least=0.95),
    ]


def _bank(file: Path, embedder: Embedder) -> Bank:
    space = feature_space(embedder.ref)
    banks = load_banks([file])
    if space not in banks:
        raise ConfigurationError(f"{file} holds no bank of {space}; make one with: python -m evaluation bank DATASET.")
    return banks[space]


def _always(bank: Bank | None) -> Banks:
    def same(job: KnownJob) -> Bank | None:
        return bank

    return same
