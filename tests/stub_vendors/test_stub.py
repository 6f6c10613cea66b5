"""The stub server itself: repeatable images, counts, limits."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from stub_vendors import Stub


def order(stub: Stub, prompt: str = "a hat", seed: int = 5) -> httpx.Response:
    """An order at Stability."""
    return httpx.post(
        stub.base_url("stability", "/v2beta/stable-image/generate/core"),
        headers={"authorization": "Bearer stub-key-of-stability", "accept": "image/*"},
        files={"prompt": (None, prompt), "seed": (None, str(seed))},
    )


def test_a_generated_image_follows_from_prompt_and_seed(stub: Stub) -> None:
    """Equal prompts and seeds give equal bytes, others give others."""
    first = order(stub).content
    assert order(stub).content == first
    assert order(stub, seed=6).content != first
    assert order(stub, prompt="a house").content != first


def test_words_in_the_prompt(stub: Stub) -> None:
    """A scenario in the prompt takes precedence over the behavior; other words are ignored."""
    assert order(stub, "a hat [quota]").status_code == 402
    assert order(stub, "a [hat]").status_code == 200


def test_it_counts(stub: Stub) -> None:
    """The counts contain billed images by vendor, and peaks at once and within a period."""
    stub.behave("stability", latency=0.3)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda seed: order(stub, seed=seed), range(1, 4)))
    order(stub, "[refused_prompt]")
    seen = stub.counts("stability", window=60)
    assert (seen["orders"], seen["accepted"], seen["billed"]) == (4, 3, 3)
    assert (seen["peak_concurrency"], seen["peak_in_window"], seen["in_flight"]) == (3, 3, 0)
    assert httpx.get(f"{stub.url}/_stub/billed").json()["total"] == 3
    stub.reset()
    assert stub.billed()["stability"] == 0


@pytest.mark.parametrize("limit", [{"concurrency": 2}, {"per_minute": 2}])
def test_it_keeps_limits(limit: dict[str, int], stub: Stub) -> None:
    """Orders over the limit are rate limited and not billed."""
    stub.behave("stability", latency=0.3, **limit)
    with ThreadPoolExecutor(5) as threads:
        statuses = [response.status_code for response in threads.map(lambda seed: order(stub, seed=seed), range(1, 6))]
    assert sorted(statuses) == [200, 200, 429, 429, 429]
    assert stub.billed()["stability"] == 2


def test_chances_repeat(stub: Stub) -> None:
    """With the same seed, the same scenarios occur, so that measurements can be repeated."""
    runs = []
    for _ in range(2):
        stub.behave("stability", chances={"server_error": 0.3, "quota": 0.3}, chance_seed=1)
        runs.append([order(stub).status_code for _ in range(12)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 402, 500}


def test_who_belongs_nowhere_is_remembered(stub: Stub) -> None:
    """Requests for unknown paths are recorded with their headers."""
    httpx.get(f"{stub.url}/nowhere", headers={"x-key": "secret"})
    (request,) = stub.unknown_requests()
    assert (request["path"], request["x-key"]) == ("/nowhere", "secret")


def test_a_misspelt_behavior_is_an_error(stub: Stub) -> None:
    """An unknown vendor is a 404."""
    with pytest.raises(httpx.HTTPStatusError):
        stub.behave("stability", scenaro="quota")
    with pytest.raises(httpx.HTTPStatusError):
        stub.behave("unknown", scenario="quota")
