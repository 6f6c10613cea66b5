"""Generates at a vendor: order, poll, download, check. Every vendor's way is this one; `vendor.py` says what differs.

Whatever comes of it is one of the states before anything could be embedded, and the permit is told what is billed:
nothing while nothing was sent or the vendor itself said no, one image as soon as nobody can know better.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from http import HTTPStatus
from io import BytesIO

from attribution.errors import (
    ImageError,
    NotReached,
    OutputRefused,
    PromptRefused,
    QuotaExhausted,
    RateLimited,
    SourceError,
    SourceTimeout,
    SourceUnavailable,
)
from attribution.image import load
from attribution.ports import Deadline, GeneratedImage, ModelRef, SourceState
from attribution.resynthesis.blank import is_blank
from attribution.resynthesis.fit import fit
from attribution.resynthesis.remote.failure import UNKNOWN, retry_after
from attribution.resynthesis.remote.gate import Gate, OpenGate, Reservation
from attribution.resynthesis.remote.transport import Transport
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, StillGenerating, Vendor, VendorImage
from attribution.resynthesis.remote.web import HttpResponse, Request

_ORDERS = 2  # of one generated image, where the first certainly came to nothing
_PAUSE = 0.5  # before the second one, unless the vendor says, who may say no more than
_LONGEST_PAUSE = 5.0
_LOST_POLLS = 6  # in a row; the generated image is paid for, so it is worth some patience
_LIMIT_PAUSE = 5.0  # after a rate limit that says nothing, doubled each time


class RemoteGenerator:
    """One source at a vendor. Threads may share it: it holds nothing of a generated image."""

    def __init__(
        self,
        source: str,
        ref: ModelRef,
        vendor: Vendor,
        door: Transport,
        *,
        max_prompt: int | None = None,
        max_seed: int | None = None,
        at_once: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._ref = ref
        self._vendor = vendor
        self._door = door
        self._max_prompt = max_prompt
        self._max_seed = max_seed
        self._at_once = at_once
        self._sleep = sleep

    @property
    def source(self) -> str:
        """The source's id in the catalog."""
        return self._source

    @property
    def ref(self) -> ModelRef:
        """What the catalog calls the vendor's model."""
        return self._ref

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """One generated image per seed, in order, fewer where some came to nothing; a limit is waited for within the deadline.

        The first is generated alone: a caption that is refused is refused once, not γ times.
        """
        errors: list[SourceError] = []
        generated: dict[int, GeneratedImage] = {}

        def one(k: int) -> None:
            try:
                generated[k] = self._patiently(prompt, k, seeds[k], deadline)
            except SourceError as error:
                errors.append(error)

        one(0)
        if errors and not isinstance(errors[0], OutputRefused):
            raise errors[0]
        if len(seeds) > 1:
            with ThreadPoolExecutor(min(self._at_once, len(seeds) - 1), thread_name_prefix=self._source) as threads:
                for future in [threads.submit(copy_context().run, one, k) for k in range(1, len(seeds))]:
                    future.result()
        if not generated:
            raise errors[0]
        return [generated[k] for k in sorted(generated)]

    def generate_one(
        self,
        prompt: str,
        k: int,
        seed: int,
        deadline: Deadline,
        gate: Gate,
        safety_identifier: str | None = None,
    ) -> GeneratedImage:
        """The k-th generating, if the gate gives leave; an order that an earlier attempt placed is polled, not repeated.

        `safety_identifier` is an opaque name of the tenant, for vendors that want to know their customers' callers
        apart. Raises SourceError, of which RateLimited at once: waiting is for whoever called.
        """
        if deadline.passed():
            raise SourceTimeout("The time for this source was over before it was asked.")
        self._door.take_key(deadline)
        permit = gate.open(k, 1)
        order = _VendorOrder(self._vendor, self._door, permit, deadline, self._sleep)
        wish = ImageRequest(fit(prompt, self._max_prompt), self._fitted(seed), safety_identifier)
        try:
            picture = order.picture(wish)
            generated_image = self._checked(picture, wish, prompt, deadline)
        except SourceError as error:
            permit.close(error.state, order.billed)
            raise
        except BaseException:
            permit.close(SourceState.ERROR, order.billed)
            raise
        permit.close(SourceState.DONE, order.billed)
        return generated_image

    def check_key(self) -> None:
        """Raises KeyRefused where there is no usable key: before anything is ordered."""
        self._door.check_key()

    def remark(self, prompt: str) -> str | None:
        """A sentence where the source was not given the whole caption."""
        if fit(prompt, self._max_prompt) == prompt:
            return None
        return f"The caption was cut to the {self._max_prompt:,} characters that {self._vendor.name} takes."

    def _patiently(self, prompt: str, k: int, seed: int, deadline: Deadline) -> GeneratedImage:
        pause = _LIMIT_PAUSE
        while True:
            try:
                return self.generate_one(prompt, k, seed, deadline, OpenGate())
            except RateLimited as error:
                wait = pause if error.retry_after is None else error.retry_after
                if wait >= deadline.remaining():
                    raise
                self._sleep(wait)
                pause *= 2

    def _fitted(self, seed: int) -> int | None:
        return None if self._max_seed is None else seed % (self._max_seed + 1)

    def _checked(self, picture: VendorImage, wish: ImageRequest, caption: str, deadline: Deadline) -> GeneratedImage:
        data = self._door.image(picture.image, deadline)
        try:
            image = load(BytesIO(data)).image
        except ImageError as error:
            raise SourceError(f"{self._vendor.name} sent no whole image. {error}") from error
        if is_blank(image):
            raise OutputRefused(f"{self._vendor.name} sent a blank image, as safety filters do it.")
        seed = wish.seed if picture.seed is None else picture.seed
        generated = picture.prompt or wish.prompt
        return GeneratedImage(image, seed, None if generated == caption else generated)


class _VendorOrder:
    """One generated image's way through the vendor; `billed` is what it costs if it ends now, in images."""

    def __init__(
        self, vendor: Vendor, door: Transport, permit: Reservation, deadline: Deadline, sleep: Callable[[float], None]
    ) -> None:
        self.billed = 0
        self._vendor = vendor
        self._door = door
        self._permit = permit
        self._deadline = deadline
        self._sleep = sleep

    def picture(self, wish: ImageRequest) -> VendorImage:
        """Orders, or takes up what was ordered, and waits for it. Raises SourceError."""
        try:
            pictures = self._wait(self._taken_up() or self._place(self._vendor.order(wish)))
        except (PromptRefused, QuotaExhausted, RateLimited):
            self.billed = 0  # it was said before anything was generated
            raise
        if not pictures:
            raise OutputRefused(f"{self._vendor.name} answered without an image, as its filter does it.")
        return pictures[0]

    def _taken_up(self) -> StillGenerating | None:
        if self._permit.task is None:
            return None
        self.billed = 1
        return StillGenerating(self._permit.task, after=0.0)

    def _place(self, request: Request) -> Reply:
        for last in (*[False] * (_ORDERS - 1), True):
            self.billed = 1
            try:
                answer = self._door.call(request, self._deadline)
            except NotReached:
                self.billed = 0
                if last:
                    raise
                self._pause(_PAUSE)
                continue
            if answer.good:
                return self._accepted(answer)
            if answer.status not in UNKNOWN:
                self.billed = 0
            pause = retry_after(answer.headers) or _PAUSE
            if last or answer.status != HTTPStatus.SERVICE_UNAVAILABLE or pause > _LONGEST_PAUSE:
                raise self._door.failure(answer)
            self._pause(pause)
        raise AssertionError("unreachable")

    def _accepted(self, answer: HttpResponse) -> Reply:
        reply = self._vendor.read(answer)
        if isinstance(reply, StillGenerating):
            self._permit.submitted(reply.task)
        return reply

    def _wait(self, reply: Reply) -> Sequence[VendorImage]:
        polling = self._vendor.polling
        usual = polling.first
        while isinstance(reply, StillGenerating):
            self._pause(usual if reply.after is None else reply.after)
            usual = min(usual * polling.growth, polling.longest)
            reply = self._poll(reply.task)
        return reply

    def _poll(self, task: str) -> Reply:
        answer = self._polled(task)
        reply = self._vendor.read_task(answer, task)
        if isinstance(reply, StillGenerating) and reply.after is None:
            return StillGenerating(reply.task, retry_after(answer.headers))
        return reply

    def _polled(self, task: str) -> HttpResponse:
        """The first good answer: polls cost nothing, so limits and lost answers are waited out."""
        lost = 0
        while True:
            try:
                answer = self._door.call(self._vendor.ask(task), self._deadline)
                if answer.good:
                    return answer
                raise self._door.failure(answer)
            except RateLimited as error:
                pause = error.retry_after
            except SourceUnavailable as error:
                lost += 1
                if error.permanent or lost == _LOST_POLLS:
                    raise
                pause = None
            self._pause(self._vendor.polling.longest if pause is None else pause)

    def _pause(self, seconds: float) -> None:
        self._sleep(max(0.0, min(seconds, self._deadline.remaining())))
        if self._deadline.passed():
            raise SourceTimeout(f"{self._vendor.name} was still generating when the time for it was over.")
