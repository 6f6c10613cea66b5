"""The structure of the product's code: no import cycles, no name that stands for two things."""

import ast
from collections import Counter, defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

from tests.conftest import REPOSITORY

PACKAGES = ("app", "attribution", "devstack", "evaluation", "perf", "stub_vendors", "workers", "zoo")
# Names that each feature has for the same part of it.
FIXED_STEMS = {"__init__", "__main__", "cli", "service", "repository", "documents", "tasks", "stage", "command"}


def modules() -> list[Path]:
    """Every module of the product."""
    return [file for package in PACKAGES for file in sorted((REPOSITORY / package).rglob("*.py"))]


def test_modules_import_each_other_in_no_cycle() -> None:
    """The graph of all imports, those inside functions included, has an order."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    sorter = TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    try:
        sorter.prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from error


def test_class_names_are_unique() -> None:
    """No name of a class at the top level of a module is that of another one."""
    found = defaultdict(list)
    for file in modules():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(file.relative_to(REPOSITORY)))
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


def test_file_names_are_distinct() -> None:
    """No file name but the fixed ones stands four times."""
    stems = Counter(file.stem for file in modules())
    assert {stem: count for stem, count in stems.items() if count > 3 and stem not in FIXED_STEMS} == {}
