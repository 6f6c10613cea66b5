"""What calls to remote sources and captioners share in one worker process: limits, circuits, threads, connections."""

import hashlib
import hmac
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO

from redis import Redis

from app.egress import EgressClient
from app.errors import AddressUnavailable, JobFailure, RequestError
from app.settings import RemoteSettings, Settings, SpendSettings
from app.vendors.circuit import Circuits
from app.vendors.limits import SourceLimits
from attribution.errors import SourceError, SourceTimeout, SourceUnavailable
from attribution.ports import Deadline
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.web import Connections
from workers.decoder_processes import DecoderProcesses
from workers.wakeups import WaitThreads, Wakeups

# Remote sources that one process calls at once, and further images of them. A thread starts only when it is needed.
_REMOTE_CALLS = 256
# Images that remote captioners describe at once, for one process.
_REMOTE_CAPTIONS = 16


class VendorConnections:
    """The process's HTTP clients: one for vendors, and the guarded one for addresses in their responses."""

    def __init__(self, settings: Settings, decoders: DecoderProcesses) -> None:
        self._client = HttpClient()
        self._outbound = EgressClient(settings.egress)
        self.ports = Connections(self._client, self._fetch, settings.vendor_keys.get, decode=decoders.decode_generated)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()
        self._outbound.close()

    def _fetch(self, url: str, max_bytes: int, deadline: Deadline) -> bytes:
        """See `attribution.resynthesis.remote.web`."""
        if deadline.passed():
            raise SourceTimeout("The time for this source was over before its generated image was fetched.")
        buffer = BytesIO()
        timeout = timedelta(seconds=max(0.001, deadline.remaining()))
        try:
            self._outbound.fetch(url, buffer, max_bytes=max_bytes, timeout=timeout)
        except AddressUnavailable as error:
            if deadline.passed():
                raise SourceTimeout("The time for this source was over before its image had been fetched.") from error
            raise SourceUnavailable(f"The generated image cannot be fetched. {error.detail}") from error
        except (RequestError, JobFailure) as error:
            raise SourceError(f"The generated image cannot be fetched. {error.detail}") from error
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Vendors:
    """The resources of steps that call vendors, with the settings that bound the calls."""

    limits: SourceLimits
    circuits: Circuits
    connections: VendorConnections
    wakeups: Wakeups
    source_threads: ThreadPoolExecutor  # one for each remote source of a job
    call_threads: ThreadPoolExecutor  # further images of one source
    caption_threads: WaitThreads
    remote_settings: RemoteSettings
    spend_settings: SpendSettings

    def close(self) -> None:
        """Waits for remote captions that are running, starts nothing more, and closes connections."""
        self.caption_threads.close()
        self.wakeups.close()
        self.connections.close()


def build_vendors(settings: Settings, redis: Redis, decoders: DecoderProcesses) -> Vendors:
    """The resources that the settings name; nothing connects yet."""
    threads = ThreadPoolExecutor(_REMOTE_CALLS, thread_name_prefix="source")
    return Vendors(
        limits=SourceLimits(redis),
        circuits=Circuits(redis, settings.remote),
        connections=VendorConnections(settings, decoders),
        wakeups=Wakeups(threads),
        source_threads=threads,
        call_threads=ThreadPoolExecutor(_REMOTE_CALLS, thread_name_prefix="call"),
        caption_threads=WaitThreads("remote_caption", _REMOTE_CAPTIONS),
        remote_settings=settings.remote,
        spend_settings=settings.spend,
    )


_LENGTH = 32


def safety_identifier(settings: RemoteSettings, tenant_id: uuid.UUID) -> str:
    """Stable for a tenant, and not its id: keyed by the installation's secret where it has one."""
    secret = settings.identifier_secret
    key = b"" if secret is None else secret.get_secret_value().encode()
    return hmac.new(key, b"safety identifier " + tenant_id.bytes, hashlib.sha256).hexdigest()[:_LENGTH]
