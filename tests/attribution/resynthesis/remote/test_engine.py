"""The engine: retries, resumed polls, waiting for limits, shortened prompts, closed reservations."""

import threading
from dataclasses import replace

import pytest

from attribution.catalog import Limits, SeedSupport
from attribution.errors import (
    ConfigurationError,
    ConnectionFailed,
    KeyRefused,
    OutputRefused,
    PromptRefused,
    QuotaExhausted,
    RateLimited,
    SourceTimeout,
)
from attribution.ports import Deadline, GeneratedImage, SourceState
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.gate import OpenGate, Reservation
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.web import Connections
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contract import Contract
from tests.attribution.resynthesis.remote.contracts.bfl import CONTRACT as BFL
from tests.attribution.resynthesis.remote.contracts.openai import CONTRACT as OPENAI
from tests.attribution.resynthesis.remote.contracts.stability import CONTRACT as STABILITY
from tests.attribution.resynthesis.remote.generation import (
    CAPTION,
    RecordingGate,
    connections,
    generate,
    generator_of,
    source_of,
)


class ClosedGate:
    """A gate whose limit is reached."""

    def open(self, k: int, images: int) -> Reservation:
        """Always refuse."""
        raise RateLimited("Our own limit.", 3.0)


def test_a_gate_that_says_no_sends_nothing(stub: Stub, client: HttpClient) -> None:
    """The gate's waiting time is reported, and nothing is sent to the vendor."""
    with pytest.raises(RateLimited) as raised:
        generator_of(BFL, stub, client).generate_one(CAPTION, 0, 1, Deadline.after(9), ClosedGate())
    assert raised.value.retry_after == 3.0
    assert stub.counts("bfl")["orders"] == 0


def test_the_task_is_reported_before_the_first_poll_and_taken_up_again(stub: Stub, client: HttpClient) -> None:
    """A task is stored before its first poll, and a later attempt polls it instead of submitting again."""
    generator = generator_of(BFL, stub, client)
    stub.behave("bfl", latency=0.8)
    gate = RecordingGate()
    result = generate(generator, gate, seconds=0.4)
    assert isinstance(result, SourceTimeout)
    assert gate.closed == [(SourceState.TIMEOUT, 1)]
    (task,) = gate.submitted_tasks

    later = RecordingGate(task)
    result = generate(generator, later)
    assert isinstance(result, GeneratedImage)
    assert result.seed == 5
    assert (later.submitted_tasks, later.closed) == ([], [(SourceState.DONE, 1)])
    assert (stub.counts("bfl")["orders"], stub.billed()["bfl"]) == (1, 1)


def test_a_stored_task_of_another_host_is_not_polled(stub: Stub, foreign_host: Stub, client: HttpClient) -> None:
    """A stored task address is checked like one in a response."""
    gate = RecordingGate(f"{foreign_host.url}/elsewhere?id=1")
    result = generate(generator_of(BFL, stub, client), gate)
    assert "not its own" in str(result)
    assert not foreign_host.unknown_requests()
    assert gate.closed == [(SourceState.ERROR, 1)]


def test_a_missing_server_is_tried_twice_and_costs_nothing(stub: Stub, client: HttpClient) -> None:
    """Without a connection there is one retry, then `unavailable`, and nothing is billed."""
    source = replace(source_of(OPENAI, stub), parameters={"base_url": "http://127.0.0.1:9", "key": "openai"})
    pauses: list[float] = []
    world = connections(client, {"openai": "k"})
    generator = build_remote(source, Connections(world.web, world.fetch, world.secrets, pauses.append))
    gate = RecordingGate()
    assert isinstance(generate(generator, gate), ConnectionFailed)
    assert gate.closed == [(SourceState.UNAVAILABLE, 0)]
    assert len(pauses) == 1


def test_a_refusal_is_asked_once_for_all_generated_images(stub: Stub, client: HttpClient) -> None:
    """A refused caption is submitted once, not γ times."""
    stub.behave("openai", scenario="refused_prompt")
    with pytest.raises(PromptRefused):
        generator_of(OPENAI, stub, client).generate(CAPTION, [1, 2, 3, 4], Deadline.after(9))
    assert stub.counts("openai")["orders"] == 1


def test_generated_images_come_in_the_order_of_their_seeds(stub: Stub, client: HttpClient) -> None:
    """The first image is generated alone, the others in parallel, in the order of their seeds."""
    stub.behave("stability", latency=0.1)
    generated_images = generator_of(STABILITY, stub, client).generate(CAPTION, [4, 3, 2, 1], Deadline.after(20))
    assert [generated_image.seed for generated_image in generated_images] == [4, 3, 2, 1]
    assert stub.counts("stability")["peak_concurrency"] == 3


def test_refused_outputs_leave_the_others(stub: Stub, client: HttpClient) -> None:
    """If a filter withholds some images, the others are returned; if it withholds all, the output is refused."""
    stub.behave("stability", chances={"refused_output": 0.5}, chance_seed=3)
    seeds = list(range(1, 9))
    generated_images = generator_of(STABILITY, stub, client).generate(CAPTION, seeds, Deadline.after(20))
    assert 0 < len(generated_images) < len(seeds)
    stub.behave("stability", scenario="refused_output")
    with pytest.raises(OutputRefused):
        generator_of(STABILITY, stub, client).generate(CAPTION, seeds, Deadline.after(20))


def test_the_library_waits_for_a_limit_that_fits(stub: Stub, client: HttpClient) -> None:
    """`generate` waits for the vendor's Retry-After; `generate_one` never does."""
    stub.behave("bfl", scenario="rate_limited", retry_after=2.5)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        stub.behave("bfl")

    world = connections(client, {"bfl": "stub-key-of-bfl"})
    generator = build_remote(source_of(BFL, stub), replace(world, sleep=sleep))
    assert len(generator.generate(CAPTION, [1], Deadline.after(20))) == 1
    assert pauses[0] == 2.5


def test_the_library_does_not_wait_beyond_the_deadline(stub: Stub, client: HttpClient) -> None:
    """A rate limit that ends after the deadline is raised."""
    stub.behave("bfl", scenario="rate_limited", retry_after=60)
    with pytest.raises(RateLimited):
        generator_of(BFL, stub, client).generate(CAPTION, [1], Deadline.after(20))
    assert stub.counts("bfl")["orders"] == 1


def test_a_missing_key_names_its_setting_and_orders_nothing(stub: Stub, client: HttpClient) -> None:
    """A missing key is an error before the gate is opened."""
    generator = build_remote(source_of(BFL, stub), connections(client, {}))
    gate = RecordingGate()
    result = generate(generator, gate)
    assert isinstance(result, KeyRefused)
    assert "VENDOR_KEYS__BFL" in str(result)
    assert (result.permanent, result.state) == (True, SourceState.UNAVAILABLE)
    assert gate.opened == []


@pytest.mark.parametrize("key", ["two\nlines", "ключ", "tail ", "nul\0"])
def test_a_key_that_no_header_can_carry_is_not_quoted(key: str, stub: Stub, client: HttpClient) -> None:
    """A key with invalid characters is refused, because the HTTP library would quote it in its error."""
    result = generate(generator_of(BFL, stub, client, key), RecordingGate())
    assert isinstance(result, KeyRefused)
    assert key not in f"{result!r} {result.__cause__!r} {result.__context__!r}"


def test_keys_are_in_no_representation(stub: Stub, client: HttpClient) -> None:
    """No representation of the objects contains the key."""
    generator = generator_of(BFL, stub, client)
    generate(generator, RecordingGate())
    shown = repr(vars(generator)) + repr(vars(generator._transport)) + repr(vars(generator._vendor))
    assert "stub-key" not in shown


def test_a_prompt_is_cut_to_what_the_source_takes(stub: Stub, client: HttpClient) -> None:
    """A long caption is cut between words; the prompt is recorded, and the remark reports it."""
    source = replace(source_of(BFL, stub), limits=Limits(max_prompt_chars=12))
    generator = build_remote(source, connections(client, {"bfl": "stub-key-of-bfl"}))
    result = generate(generator, RecordingGate())
    assert isinstance(result, GeneratedImage)
    assert result.prompt == "a red hat on"
    assert "12 characters" in (generator.remark(CAPTION) or "")
    assert generator.remark("a red hat") is None


def test_a_source_without_seeds_is_sent_none(stub: Stub, client: HttpClient) -> None:
    """With `seed = "no"` in the catalog, no seed is sent or recorded."""
    source = replace(source_of(OPENAI, stub), seed=SeedSupport.NO)
    result = generate(build_remote(source, connections(client, {"openai": "stub-key-of-openai"})), RecordingGate())
    assert isinstance(result, GeneratedImage)
    assert result.seed is None


def test_the_safety_identifier_reaches_vendors_that_have_one(stub: Stub, client: HttpClient) -> None:
    """Only vendors with such a field receive the tenant's identifier."""
    generate(generator_of(OPENAI, stub, client), RecordingGate())
    assert stub.counts("openai")["safety_identifiers"] == ["tenant-hash"]
    assert isinstance(generate(generator_of(STABILITY, stub, client), RecordingGate()), GeneratedImage)


def test_a_passed_deadline_sends_nothing(stub: Stub, client: HttpClient) -> None:
    """After the deadline nothing is sent, and the gate is not opened."""
    gate = RecordingGate()
    assert isinstance(generate(generator_of(OPENAI, stub, client), gate, seconds=0), SourceTimeout)
    assert (gate.opened, stub.counts("openai")["orders"]) == ([], 0)


def test_threads_share_a_generator(stub: Stub, client: HttpClient) -> None:
    """Eight threads that share a generator get their own images."""
    generator = generator_of(STABILITY, stub, client)
    found: dict[int, int | None] = {}

    def one(seed: int) -> None:
        found[seed] = generator.generate_one(CAPTION, 0, seed, Deadline.after(20), OpenGate()).seed

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: seed for seed in range(1, 9)}


@pytest.mark.parametrize(
    ("contract", "parameters", "message"),
    [
        (BFL, {"widht": 3}, "widht.*base_url, key, width"),
        (BFL, {"width": "wide"}, "width.*int"),
        (BFL, {"base_url": "ftp://x"}, "http"),
        (BFL, {"key": "no-such/name"}, "name of a key"),
    ],
)
def test_mistakes_in_an_entry_are_sentences(
    contract: Contract, parameters: dict[str, str | int], message: str, stub: Stub, client: HttpClient
) -> None:
    """Building an adapter reads no key and sends nothing; mistakes in the file are errors."""
    with pytest.raises(ConfigurationError, match=message):
        build_remote(source_of(contract, stub, parameters), connections(client, {}))


def test_a_base_url_of_ones_own_gets_no_vendor_key_unasked(stub: Stub, client: HttpClient) -> None:
    """Another server with OpenAI's API does not receive the key for OpenAI."""
    source = source_of(OPENAI, stub)
    own = {name: value for name, value in source.parameters.items() if name != "key"}
    asked: list[str] = []
    world = replace(connections(client, {}), secrets=lambda name: asked.append(name) or "secret")  # type: ignore[func-returns-value]
    result = generate(build_remote(replace(source, parameters=own), world), RecordingGate())
    assert isinstance(result, KeyRefused)
    assert "without a key" in str(result)
    assert asked == []


def test_an_empty_account_is_no_matter_of_patience(stub: Stub, client: HttpClient) -> None:
    """An empty account is a quota error, although OpenAI uses status 429."""
    stub.behave("openai", scenario="quota")
    with pytest.raises(QuotaExhausted):
        generator_of(OPENAI, stub, client).generate(CAPTION, [1, 2], Deadline.after(20))
