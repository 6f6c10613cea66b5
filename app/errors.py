"""All errors of the service; each is a problem document (RFC 9457) with a stable type.

ServiceError
├── RequestError                the caller can fix it
│   ├── MalformedRequest        400  a broken or half-sent body
│   ├── Unauthenticated         401  no key was sent
│   │   └── InvalidKey               unknown, expired, revoked, or its tenant is disabled
│   ├── InsufficientScope       403  the key lacks the scope
│   ├── ForeignPage             403  a foreign web page may have made a request without a key
│   ├── NotFound                404  no such job, or not yours
│   ├── MethodNotAllowed        405  the resource exists, the method does not
│   ├── NotAcceptable           406  the response comes in none of the media types of `Accept`
│   ├── EndpointDisabled        409  a webhook endpoint that is disabled
│   ├── ReferencesRefused       409  reference images that a job does not take
│   │   ├── ReferencesNotExpected    it does not wait for images of this source, or has ended
│   │   ├── ReferencesTooEarly       the caption that they are generated from is not there yet
│   │   ├── ReferencesTooLate        the job's deadline has passed
│   │   └── ReferencesConflict       it has others of this source
│   ├── HeadersTimeout          408  the headers did not arrive in time
│   ├── UploadTimeout           408  the body did not arrive in time, or too slowly
│   ├── KeyInUse                409  the first request with this idempotency key is in progress
│   ├── Deleted                  410  it was there, and was deleted
│   ├── UploadTooLarge          413  more bytes than the cap
│   ├── ImageTooLargeProblem    422  more pixels, frames or scans than the cap
│   ├── UnsupportedMediaType    415  the body is of a media type that the endpoint does not take
│   ├── UnsupportedImageProblem 415  decodes as none of the accepted formats
│   ├── UndecodableImageProblem 422  truncated, empty, broken, or too costly to decode
│   ├── InvalidRequest          422  an option has a wrong value; `errors` lists them
│   ├── KeyReused               422  the idempotency key belongs to another request
│   ├── UnknownSourceProblem    422  a source that the catalog does not have
│   ├── UnknownCaptioner        422  a captioner that this installation does not offer
│   ├── UnknownEmbedder         422  an embedder that this installation does not offer
│   ├── AddressRefused          422  a URL that is not called: malformed, or not public
│   ├── QuotaExceeded           429  too many requests, or too many jobs at once
│   └── HeadersTooLarge         431  the request's headers are too large
├── Unavailable                 503  try again later; carries Retry-After
│   ├── ReducedCapacity              the queues are too long
│   ├── Overloaded                   too many uploads, streams or connections at once, or no decoder was free
│   ├── NotReady                     Postgres is unavailable or its schema is another one; `checks` says which
│   └── StorageUnavailable           Postgres or the blob store does not answer
└── JobFailure                  how an accepted job can end as failed; never an HTTP status of its own
    ├── ScreeningRefused             a screening hook refused the image or the caption
    ├── FetchFailed                  a caller's address answered, but not with an image: 404, endless redirects
    │   └── FetchTooLarge            more bytes than the cap
    ├── AddressUnavailable           a caller's address did not answer, or answered with Retry-After
    ├── CaptionRefusedProblem        the captioner will not describe the image
    ├── CaptionerUnavailableProblem  the captioner gave no caption in any attempt
    ├── StepFailed                   a stage raised an error that is permanent
    ├── StepCrashed                  a stage killed its worker, or lost it, too often
    └── DeadlineExceeded             the job's deadline passed before there was anything to rank

`permanent` says whether trying again is pointless; the retry loop obeys it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

TYPE_PREFIX = "/problems/"
MAX_MISTAKES = 20  # of one request that are listed
IANA_TYPES = "https://iana.org/assignments/http-problem-types#"


class ServiceError(Exception):
    """Root. `slug` ends the stable type; `detail` is a sentence that says what to do."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    registry: ClassVar[str] = TYPE_PREFIX
    permanent: ClassVar[bool] = True

    def __init_subclass__(
        cls,
        status: int | None = None,
        slug: str | None = None,
        title: str | None = None,
        registry: str | None = None,
        permanent: bool | None = None,
    ) -> None:
        """What a class does not give, it has from its base."""
        super().__init_subclass__()
        given = {"status": status, "slug": slug, "title": title, "registry": registry, "permanent": permanent}
        for name, value in given.items():
            if value is not None:
                setattr(cls, name, value)

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **extensions: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extensions = extensions
        if "errors" in extensions:  # a body of 1 MB had an answer of 65 MB
            extensions["errors"] = extensions["errors"][:MAX_MISTAKES]

    @classmethod
    def type_uri(cls) -> str:
        """The problem's type: ours is a page of documentation, the others are registered by IANA."""
        return cls.registry + cls.slug

    def document(self, instance: str | None = None) -> dict[str, Any]:
        """The problem document; `instance` is the URI of this occurrence where there is one."""
        problem: dict[str, Any] = {
            "type": self.type_uri(),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if instance:
            problem["instance"] = instance
        return problem | self.extensions


class RequestError(ServiceError, status=400):
    """The caller can fix it."""


class MalformedRequest(RequestError, slug="malformed-request", title="The request cannot be read"):
    """The body is not what the endpoint takes."""


class Unauthenticated(RequestError, status=401, slug="unauthenticated", title="A key is needed"):
    """No key was sent."""


class InvalidKey(Unauthenticated, slug="invalid-key", title="The key is not valid"):
    """The key is unknown, expired or revoked, or its tenant is disabled."""


class InsufficientScope(RequestError, status=403, slug="insufficient-scope", title="The key lacks a scope"):
    """The key lacks the scope."""


class QuotaExceeded(
    RequestError,
    status=429,
    slug="quota-exceeded",
    title="Request cannot be satisfied as assigned quota has been exceeded",
    permanent=False,
    registry=IANA_TYPES,
):
    """A limit was passed; `violated-policies` says which of those in `RateLimit-Policy`."""


class ForeignPage(RequestError, status=403, slug="foreign-page", title="The request may be a foreign web page's"):
    """A request without a key that a foreign web page may have made."""


class NotFound(RequestError, status=404, slug="not-found", title="Not found"):
    """No such thing, or not the caller's."""


class MethodNotAllowed(RequestError, status=405, slug="method-not-allowed", title="Method not allowed"):
    """The resource exists, the method does not."""


class EndpointDisabled(RequestError, status=409, slug="endpoint-disabled", title="The webhook endpoint is disabled"):
    """A disabled webhook endpoint receives nothing."""


class ReferencesRefused(RequestError, status=409):
    """Reference images that the job does not take."""


class ReferencesNotExpected(
    ReferencesRefused, slug="references-not-expected", title="The job does not wait for reference images of this source"
):
    """The job does not wait for reference images of this source, or has ended."""


class ReferencesTooEarly(
    ReferencesRefused, slug="references-too-early", title="There is no caption yet", permanent=False
):
    """The caption for the reference images is not there yet; try again when the job shows it."""


class ReferencesTooLate(ReferencesRefused, slug="references-too-late", title="The reference images came too late"):
    """The job's deadline has passed: it ranks, or has ranked, what was there."""


class ReferencesConflict(
    ReferencesRefused, slug="references-conflict", title="The job has other reference images of this source"
):
    """The job has other reference images of this source already."""


class KeyInUse(
    RequestError,
    status=409,
    slug="idempotency-key-in-use",
    title="The first request with this key is in progress",
    permanent=False,
):
    """The first request with this idempotency key is in progress."""


class KeyReused(
    RequestError, status=422, slug="idempotency-key-reused", title="The idempotency key belongs to another request"
):
    """The idempotency key belongs to another request."""


class NotAcceptable(RequestError, status=406, slug="not-acceptable", title="No such representation"):
    """The response comes in none of the media types of `Accept`."""


class HeadersTimeout(
    RequestError, status=408, slug="headers-timeout", title="The headers took too long", permanent=False
):
    """The headers of a request did not arrive in time."""


class HeadersTooLarge(RequestError, status=431, slug="headers-too-large", title="The headers are too large"):
    """More bytes or lines of headers than the cap."""


class UploadTimeout(RequestError, status=408, slug="upload-timeout", title="The upload took too long", permanent=False):
    """The body did not arrive in time, or too slowly."""


class Deleted(RequestError, status=410, slug="deleted", title="Deleted"):
    """It was there, and was deleted."""


class UploadTooLarge(RequestError, status=413, slug="upload-too-large", title="The upload is too large"):
    """More bytes than the cap."""


class ImageTooLargeProblem(RequestError, status=422, slug="image-too-large", title="The image is too large"):
    """More pixels, frames or scans than the cap."""


class UnsupportedMediaType(RequestError, status=415, slug="unsupported-media-type", title="Unsupported media type"):
    """The body is of a media type that the endpoint does not take."""


class UnsupportedImageProblem(RequestError, status=415, slug="unsupported-image", title="Not an accepted image format"):
    """Decodes as none of the accepted formats."""


class UndecodableImageProblem(RequestError, status=422, slug="undecodable-image", title="The image cannot be decoded"):
    """Truncated, empty, broken, or too costly to decode."""


class InvalidRequest(RequestError, status=422, slug="invalid-request", title="An option has a wrong value"):
    """An option has a wrong value; `errors` lists them."""


class UnknownSourceProblem(RequestError, status=422, slug="unknown-source", title="Unknown source"):
    """A source that the catalog does not have."""


class UnknownCaptioner(RequestError, status=422, slug="unknown-captioner", title="Unknown captioner"):
    """A captioner that this installation does not offer."""


class UnknownEmbedder(RequestError, status=422, slug="unknown-embedder", title="Unknown embedder"):
    """An embedder that this installation does not offer."""


class AddressRefused(RequestError, status=422, slug="address-refused", title="The address is not allowed"):
    """A URL that is not called: malformed, or not public."""


class Unavailable(ServiceError, status=503, permanent=False):
    """Try again later."""


class ReducedCapacity(
    Unavailable,
    slug="temporary-reduced-capacity",
    title="Request cannot be satisfied due to temporary server capacity constraints",
    registry=IANA_TYPES,
):
    """The queues are too long for one more job."""


class Overloaded(Unavailable, slug="overloaded", title="Too busy to accept"):
    """Too many uploads, streams or connections at once, or no decoder was free in time."""


class NotReady(Unavailable, slug="not-ready", title="Not ready"):
    """Postgres is unavailable or its schema is another one; `checks` says which."""


class StorageUnavailable(Unavailable, slug="storage-unavailable", title="Storage does not answer"):
    """Postgres or the blob store does not answer."""


class JobFailure(ServiceError, status=500):
    """How an accepted job can end as failed."""


class ScreeningRefused(JobFailure, status=422, slug="screening-refused", title="Refused by screening"):
    """A screening hook refused the image or the caption."""


class FetchFailed(JobFailure, status=502, slug="fetch-failed", title="The address did not give an image"):
    """A caller's address answered, but not with an image."""


class FetchTooLarge(FetchFailed, slug="fetch-too-large", title="The image at the address is too large"):
    """More bytes than the cap."""


class AddressUnavailable(
    JobFailure, status=502, slug="address-unavailable", title="The address does not answer", permanent=False
):
    """A caller's address did not answer, or answered with Retry-After."""


class CaptionRefusedProblem(JobFailure, status=422, slug="caption-refused", title="The captioner refused"):
    """The captioner will not describe the image."""


class CaptionerUnavailableProblem(
    JobFailure, status=502, slug="captioner-unavailable", title="The captioner does not answer"
):
    """The captioner gave no usable caption in any attempt."""


class StepFailed(JobFailure, slug="step-failed", title="A stage failed"):
    """A stage raised an error that is permanent."""


class StepCrashed(JobFailure, slug="step-crashed", title="A stage crashed too often"):
    """A stage killed its worker, or lost it, too often."""


class DeadlineExceeded(JobFailure, status=504, slug="deadline-exceeded", title="The job took too long"):
    """The job's deadline passed before there was anything to rank."""
