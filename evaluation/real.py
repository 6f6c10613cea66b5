"""Images by real generators in the natural-prompt setting: several by each model of each prompt, no caption.

They lie as `<model>/<prompt>__<number>.png`. Image i of a model is a query; images i + 1, i + 2, … of every model
after the same prompt, counted around, are the generated images it is compared with: never the query itself.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attribution.errors import ConfigurationError
from attribution.image import load
from attribution.ports import Embedder, Vectors
from evaluation.features import Features
from evaluation.store import Store, digest, key_of, write


@dataclass(frozen=True, slots=True)
class RealImage:
    """A file and its hash."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Gallery:
    """(models, prompts, images) of files."""

    models: tuple[str, ...]
    prompts: tuple[str, ...]
    pictures: tuple[tuple[tuple[RealImage, ...], ...], ...]

    @classmethod
    def open(cls, folder: Path) -> "Gallery":
        """Reads a folder. Raises ConfigurationError where it is not one, or a model lacks images of a prompt."""
        found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
        for path in sorted(folder.glob("*/*__*.*")):
            found[path.parent.name][path.stem.partition("__")[0]].append(path)
        prompts = sorted({prompt for by_prompt in found.values() for prompt in by_prompt})
        counts = {len(by_prompt.get(prompt, ())) for by_prompt in found.values() for prompt in prompts}
        if len(found) < 2 or len(counts) != 1 or min(counts) < 2:
            raise ConfigurationError(
                f"{folder} does not hold at least two models' images, as many of each after each prompt, "
                "as MODEL/PROMPT__NUMBER.png."
            )
        models = sorted(found)
        return cls(
            tuple(models),
            tuple(prompts),
            tuple(
                tuple(tuple(RealImage(path, digest(path)) for path in found[model][prompt]) for prompt in prompts)
                for model in models
            ),
        )

    @property
    def queries(self) -> list[list[RealImage]]:
        """(S, P) images: P counts prompts, and within each the images."""
        return [[picture for of_prompt in of_model for picture in of_prompt] for of_model in self.pictures]

    @property
    def groups(self) -> list[int]:
        """(P,) which prompt each belongs to: those of one share its difficulty."""
        count = len(self.pictures[0][0])
        return [at for at in range(len(self.prompts)) for _ in range(count)]

    def features(self, embedder: Embedder, store: Store) -> Features:
        """(S, P, d) queries, and of each the generated images of all models, all but one of a prompt's images."""
        rows = np.stack([vectors(row, embedder, store) for row in self.queries])
        s, p, d = rows.shape
        count = len(self.pictures[0][0])
        by_prompt = rows.reshape(s, p // count, count, d)
        generated = np.stack(
            [np.stack([by_prompt[:, :, (i + 1 + k) % count] for k in range(count - 1)], 2) for i in range(count)], 2
        )  # (S, prompts, images, K, d)
        generated = generated.reshape(s, p, count - 1, d).transpose(1, 0, 2, 3)  # (P, S, K, d)
        repeated = np.broadcast_to(generated, (s, *generated.shape))
        revisions = dict.fromkeys(self.models, "unknown")
        return Features(str(embedder.ref), revisions, tuple(range(1, p + 1)), {}, rows, repeated)


def vectors(pictures: list[RealImage], embedder: Embedder, store: Store) -> Vectors:
    """(n, d); those that were computed before come from the store."""
    path = store.path(key_of("pictures", str(embedder.ref), [each.sha256 for each in pictures]), ".npy")
    if not path.exists():
        write(path, embedder.embed([load(each.path).image for each in pictures]).astype("<f4").tobytes())
    return np.frombuffer(path.read_bytes(), "<f4").reshape(len(pictures), -1)
