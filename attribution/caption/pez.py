"""Hard prompts by gradient: the words whose CLIP text features come nearest to an image's (PEZ, arXiv 2302.03668).

A prompt is kept as continuous embeddings. Each step looks up the vocabulary's nearest ones, takes the gradient *there*,
and applies it to the continuous ones. The nearest prompt that was met on the way is the answer. Only whole words take
part, so that the prompt is a text which is read again as the very same tokens.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL.Image import Image
from torch.nn import functional as F

from attribution.caption.spec import PezOptions
from attribution.embed.pretrained import load_clip
from attribution.embed.unit import unit_rows
from attribution.errors import AttributionError, ConfigurationError
from attribution.library_output import suppress_library_output
from attribution.ports import Captioner, Deadline, ModelRef, Vectors

_BATCH = 4096
_NARROW = 256


class PezCaptioner:
    """One loaded CLIP of open_clip, both towers. With a `start`, its captions are refined instead of random words."""

    def __init__(self, name: str, options: PezOptions, *, device: str = "cpu", start: Captioner | None = None) -> None:
        """Load the model `name` stands for, as embedders have it. Raises ConfigurationError where it cannot be used."""
        self._clip = _Clip(name, device)
        self._options = options
        self._start = start
        self._words = torch.tensor(self._clip.tokens.whole_words(), device=device)
        if not len(self._words):
            raise ConfigurationError(f"The tokenizer of {name} has no whole words to make prompts of.")
        # The CLIP, the captioner whose words were refined, and the search's own numbers.
        self.ref = self._named(start)

    @property
    def clip(self) -> "_Clip":
        """The CLIP: what it says of images can be compared, which a search's words cannot."""
        return self._clip

    @property
    def start(self) -> Captioner | None:
        """The captioner whose words are refined."""
        return self._start

    def _named(self, start: Captioner | None) -> ModelRef:
        options, clip = self._options, self._clip.ref
        search = f"steps={options.steps},rate={options.rate:g},decay={options.decay:g}"
        if start is None:
            search += f",tokens={options.tokens},seed={options.seed}"
            return ModelRef(f"pez/{clip.name}", f"{clip.revision},{search}")
        return ModelRef(f"{start.ref.name}+pez/{clip.name}", f"{start.ref.revision}+{clip.revision},{search}")

    def describe(self, image: Image) -> str:
        """The best prompt for one RGB image. Raises AttributionError where there is none."""
        return self.search(image)[0]

    def search(self, image: Image) -> tuple[str, float]:
        """The same, with the cosine between its features and the image's."""
        with self._clip.threads():
            return self._search(image)

    def _search(self, image: Image) -> tuple[str, float]:
        options, clip = self._options, self._clip
        deadline = Deadline.after(options.seconds)
        target = clip.image_features(image)
        ids, words = self._beginning(image)
        with torch.no_grad():
            vocabulary = clip.embeddings.weight[words].float()
        nearest = _Nearest(vocabulary)
        soft = clip.embeddings.weight[ids].detach().float().clone()
        optimizer = torch.optim.AdamW([soft], lr=options.rate, weight_decay=options.decay)
        best: tuple[float, str] | None = None
        for step in range(options.steps + 1):
            if step:
                ids = words[nearest(soft)]
            hard = clip.embeddings.weight[ids].detach().float().requires_grad_()
            similarity = F.cosine_similarity(clip.text_features(ids, hard), target, dim=0)
            if best is None or similarity.item() > best[0]:
                text = clip.tokens.text(ids.tolist())
                if clip.tokens.ids(text) == ids.tolist():
                    best = similarity.item(), text
            if step == options.steps or (step and deadline.passed()):
                break
            (soft.grad,) = torch.autograd.grad(-similarity, hard)
            optimizer.step()
        if best is None:
            raise AttributionError("No words were found for this image; give a prompt instead.")
        return best[1], best[0]

    def _beginning(self, image: Image) -> tuple[torch.Tensor, torch.Tensor]:
        """The first prompt, and the tokens that prompts are made of: (n,) and (v,) ids."""
        if self._start is None:
            chance = torch.Generator().manual_seed(self._options.seed)
            count = min(self._options.tokens, self._clip.tokens.room)
            places = torch.randint(len(self._words), (count,), generator=chance)
            return self._words[places.to(self._words.device)], self._words
        own = self._clip.tokens.ids(self._start.describe(image))
        if not own:
            raise AttributionError("The captioner found no words for this image; give a prompt instead.")
        ids = torch.tensor(own, device=self._words.device)
        return ids, torch.unique(torch.cat([self._words, ids]))


class _Nearest:
    """Finds the rows of (v, d) embeddings that point most nearly where others do: (n, d) to (n,) places."""

    def __init__(self, vocabulary: torch.Tensor) -> None:
        self._directions = F.normalize(vocabulary, dim=1)

    def __call__(self, soft: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return (F.normalize(soft, dim=1) @ self._directions.T).argmax(dim=1)


class _Tokens:
    """A tokenizer of open_clip's: texts to the ids between the ends, and back."""

    def __init__(self, name: str, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        empty = self._rows([""])[0]
        self.start, self.end = empty[:2]
        self.length = len(empty)
        if self.ids("a") != self._between(self._rows(["a"])[0]) or len(self.ids("a")) != 1:
            raise ConfigurationError(f"The tokenizer of {name} does not put a text between two ends, as CLIP's does.")

    @property
    def room(self) -> int:
        """Tokens that a prompt can have."""
        return self.length - 2

    def ids(self, text: str) -> list[int]:
        """Those that the text tower sees, cut to its room."""
        return self._between(self._rows([text])[0])

    def framed(self, ids: torch.Tensor) -> torch.Tensor:
        """(1, length) as the text tower takes it."""
        row = torch.zeros(1, self.length, dtype=torch.long, device=ids.device)
        row[0, 0] = self.start
        row[0, 1 : len(ids) + 1] = ids
        row[0, len(ids) + 1 :] = self.end if self._pads_with_end else 0
        row[0, len(ids) + 1] = self.end
        return row

    def text(self, ids: Sequence[int]) -> str:
        """The words, with single blanks between them."""
        inner = getattr(self._tokenizer, "tokenizer", self._tokenizer)
        return " ".join(str(inner.decode(list(ids))).split())

    def whole_words(self) -> list[int]:
        """The ids whose text is read again as themselves, also among others: in CLIP's vocabularies those of words."""
        inner = getattr(self._tokenizer, "tokenizer", self._tokenizer)
        known = range(int(inner.vocab_size))
        texts = [self.text([number]) for number in known]
        plain = [(number, text) for number, text in zip(known, texts, strict=True) if text.isprintable() and text]
        found = []
        for at in range(0, len(plain), _BATCH):
            part = plain[at : at + _BATCH]
            # Twice: what joins its neighbor, or leans on it, is no word by itself.
            rows = self._rows([f"{text} {text}" for _, text in part])
            found += [
                number
                for (number, _), row in zip(part, rows, strict=True)
                if number not in (self.start, self.end) and self._between(row) == [number, number]
            ]
        return found

    @property
    def _pads_with_end(self) -> bool:
        return self._rows([""])[0][2] == self.end

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        with suppress_library_output():
            rows: list[list[int]] = self._tokenizer(list(texts)).tolist()
        return rows

    def _between(self, row: Sequence[int]) -> list[int]:
        return list(row[1 : row.index(self.end, 1)])


class _Clip:
    """Both towers, and a way into the text tower behind its table of embeddings."""

    def __init__(self, name: str, device: str) -> None:
        clip = load_clip(name, device)
        self._model = clip.model.requires_grad_(False)
        self._preprocess = clip.preprocess
        self._device = device
        self.tokens = _Tokens(name, clip.tokenizer())
        self.embeddings = _embeddings(name, clip.model)
        self.embeddings.register_forward_hook(self._put)
        self._instead: torch.Tensor | None = None
        self.ref = clip.ref

    @contextmanager
    def threads(self) -> Iterator[None]:
        """One thread for a narrow tower: on a busy machine two that wait for each other took twenty times as long."""
        before = torch.get_num_threads()
        torch.set_num_threads(1 if self.embeddings.embedding_dim < _NARROW else before)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def embed(self, images: Sequence[Image]) -> Vectors:
        """(n, d) float32, rows of unit L2 norm."""
        return unit_rows(torch.stack([self.image_features(image) for image in images]).cpu().numpy(), self.ref.name)

    def image_features(self, image: Image) -> torch.Tensor:
        """(d,)"""
        with torch.no_grad():
            pixels = self._preprocess(image)[None].to(self._device)
            features: torch.Tensor = self._model.encode_image(pixels)[0].float()
        return features

    def text_features(self, ids: torch.Tensor, hard: torch.Tensor) -> torch.Tensor:
        """(d,) of (n,) ids whose embeddings are `hard`, (n, width): a gradient gets through to those."""
        self._instead = hard
        try:
            features: torch.Tensor = self._model.encode_text(self.tokens.framed(ids))[0].float()
        finally:
            self._instead = None
        return features

    def _put(self, module: torch.nn.Module, arguments: Any, output: torch.Tensor) -> torch.Tensor:
        if self._instead is None:
            return output
        n = len(self._instead)
        return torch.cat([output[:, :1], self._instead[None].to(output.dtype), output[:, n + 1 :]], dim=1)


def _embeddings(name: str, model: torch.nn.Module) -> torch.nn.Embedding:
    """The text tower's table: of several, the largest."""
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    if not tables:
        raise ConfigurationError(f"The CLIP {name} has no table of words.")
    return max(tables, key=lambda table: table.num_embeddings)
