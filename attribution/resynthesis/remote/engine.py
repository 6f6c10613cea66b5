"""Generates images at a vendor: submit, poll, download, check. `vendor.py` describes what differs between vendors.

Every outcome becomes a state before an image could be embedded. The reservation is closed with the number of billed
images: none if nothing was sent or the vendor refused the request, one as soon as the outcome is uncertain.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from http import HTTPStatus

from attribution.errors import (
    ConnectionFailed,
    ImageError,
    OutputRefused,
    PromptRefused,
    QuotaExhausted,
    RateLimited,
    SourceError,
    SourceTimeout,
    SourceUnavailable,
)
from attribution.image import is_blank
from attribution.ports import Deadline, GeneratedImage, ModelRef, SourceState
from attribution.resynthesis.inputs import fit_prompt
from attribution.resynthesis.remote.failure import UNKNOWN, retry_after
from attribution.resynthesis.remote.gate import Gate, OpenGate, Reservation
from attribution.resynthesis.remote.transport import Transport
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, StillGenerating, Vendor, VendorImage
from attribution.resynthesis.remote.web import HttpResponse, Request

_SUBMISSIONS = 2  # of one image, if the first certainly had no effect
_PAUSE = 0.5  # seconds before the second one, unless the vendor gives another time
_LONGEST_PAUSE = 5.0  # the longest time that is accepted from the vendor
_LOST_POLLS = 6  # in a row; the image is already billed, so several attempts are worthwhile
_LIMIT_PAUSE = 5.0  # seconds after a rate limit without a time, doubled each time


class RemoteGenerator:
    """One source at a vendor. Threads may share it: it keeps no state of a request."""

    def __init__(
        self,
        source: str,
        ref: ModelRef,
        vendor: Vendor,
        transport: Transport,
        *,
        max_prompt: int | None = None,
        max_seed: int | None = None,
        at_once: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is sent yet.

        Args:
            source: The source's id in the catalog.
            ref: The vendor's model and the catalog's revision of it.
            vendor: The vendor's contract.
            transport: Sends requests with the key and fetches images.
            max_prompt: The longest prompt in characters, None for no limit.
            max_seed: The largest seed, None if the vendor takes none.
            at_once: How many images of one job are generated in parallel.
            sleep: Waits for some seconds; tests shorten it.
        """
        self.source = source
        self.ref = ref
        self._vendor = vendor
        self._transport = transport
        self._max_prompt = max_prompt
        self._max_seed = max_seed
        self._at_once = at_once
        self._sleep = sleep

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """One generated image per seed, in order, fewer if some failed. Rate limits are waited for until the deadline.

        The first image is generated alone, so that a refused caption is submitted once and not γ times.
        """
        errors: list[SourceError] = []
        generated: dict[int, GeneratedImage] = {}

        def one(k: int) -> None:
            try:
                generated[k] = self._generate_within_limits(prompt, k, seeds[k], deadline)
            except SourceError as error:
                errors.append(error)

        one(0)
        if errors and not isinstance(errors[0], OutputRefused):
            raise errors[0]
        if len(seeds) > 1:
            with ThreadPoolExecutor(min(self._at_once, len(seeds) - 1), thread_name_prefix=self.source) as threads:
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
        """See `GatedGenerator`. A task that an earlier attempt submitted is polled, not submitted again."""
        if deadline.passed():
            raise SourceTimeout("The time for this source was over before the request was sent.")
        self._transport.prepare_key(deadline)
        reservation = gate.open(k, 1)
        submission = _Submission(self._vendor, self._transport, reservation, deadline, self._sleep)
        image_request = ImageRequest(fit_prompt(prompt, self._max_prompt), self._fitted(seed), safety_identifier)
        try:
            vendor_image = submission.image(image_request)
            generated_image = self._checked(vendor_image, image_request, prompt, deadline)
        except SourceError as error:
            reservation.close(error.state, submission.billed)
            raise
        except BaseException:
            reservation.close(SourceState.ERROR, submission.billed)
            raise
        reservation.close(SourceState.DONE, submission.billed)
        return generated_image

    def check_key(self) -> None:
        """Raises KeyRefused if there is no usable key. Nothing is sent."""
        self._transport.check_key()

    def remark(self, prompt: str) -> str | None:
        """A sentence if the prompt is only a part of the caption."""
        if fit_prompt(prompt, self._max_prompt) == prompt:
            return None
        return f"The caption was cut to the {self._max_prompt:,} characters that {self._vendor.name} takes."

    def _generate_within_limits(self, prompt: str, k: int, seed: int, deadline: Deadline) -> GeneratedImage:
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

    def _checked(
        self, vendor_image: VendorImage, image_request: ImageRequest, caption: str, deadline: Deadline
    ) -> GeneratedImage:
        data = self._transport.image(vendor_image.image, deadline)
        try:
            image = self._transport.decode(data)
        except ImageError as error:
            raise SourceError(f"{self._vendor.name} sent an image that cannot be read. {error}") from error
        if is_blank(image):
            raise OutputRefused(f"{self._vendor.name} sent a blank image, as safety filters do.")
        seed = image_request.seed if vendor_image.seed is None else vendor_image.seed
        generated = vendor_image.prompt or image_request.prompt
        return GeneratedImage(image, seed, None if generated == caption else generated)


class _Submission:
    """One image from submission to result; `billed` is the number of images to bill if it ended now."""

    def __init__(
        self,
        vendor: Vendor,
        transport: Transport,
        reservation: Reservation,
        deadline: Deadline,
        sleep: Callable[[float], None],
    ) -> None:
        self.billed = 0
        self._vendor = vendor
        self._transport = transport
        self._reservation = reservation
        self._deadline = deadline
        self._sleep = sleep

    def image(self, image_request: ImageRequest) -> VendorImage:
        """Submits the request, or resumes an earlier submission, and waits for its result. Raises SourceError."""
        try:
            images = self._wait(self._resumed() or self._submit(self._vendor.submit_request(image_request)))
        except (PromptRefused, QuotaExhausted, RateLimited):
            self.billed = 0  # the vendor reports these before it generates
            raise
        if not images:
            raise OutputRefused(f"{self._vendor.name} responded without an image, as its safety filter does.")
        return images[0]

    def _resumed(self) -> StillGenerating | None:
        if self._reservation.task is None:
            return None
        self.billed = 1
        return StillGenerating(self._reservation.task, after=0.0)

    def _submit(self, request: Request) -> Reply:
        for last in (*[False] * (_SUBMISSIONS - 1), True):
            self.billed = 1
            try:
                response = self._transport.call(request, self._deadline)
            except ConnectionFailed:
                self.billed = 0
                if last:
                    raise
                self._pause(_PAUSE)
                continue
            if response.good:
                return self._accepted(response)
            if response.status not in UNKNOWN:
                self.billed = 0
            pause = retry_after(response.headers) or _PAUSE
            if last or response.status != HTTPStatus.SERVICE_UNAVAILABLE or pause > _LONGEST_PAUSE:
                raise self._transport.failure(response)
            self._pause(pause)
        raise AssertionError("unreachable")

    def _accepted(self, response: HttpResponse) -> Reply:
        reply = self._vendor.parse_response(response)
        if isinstance(reply, StillGenerating):
            self._reservation.submitted(reply.task)
        return reply

    def _wait(self, reply: Reply) -> Sequence[VendorImage]:
        polling = self._vendor.polling
        pause = polling.first
        while isinstance(reply, StillGenerating):
            self._pause(pause if reply.after is None else reply.after)
            pause = min(pause * polling.growth, polling.longest)
            reply = self._poll(reply.task)
        return reply

    def _poll(self, task: str) -> Reply:
        response = self._poll_response(task)
        reply = self._vendor.parse_poll(response, task)
        if isinstance(reply, StillGenerating) and reply.after is None:
            return StillGenerating(reply.task, retry_after(response.headers))
        return reply

    def _poll_response(self, task: str) -> HttpResponse:
        """The first successful response: polls cost nothing, so rate limits and lost responses are retried."""
        lost = 0
        while True:
            try:
                response = self._transport.call(self._vendor.poll_request(task), self._deadline)
                if response.good:
                    return response
                raise self._transport.failure(response)
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
