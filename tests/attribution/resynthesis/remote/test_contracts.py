"""Every adapter in every case, against stubs that speak the vendors' contracts over real HTTP."""

from itertools import product

import pytest

from attribution.errors import RateLimited, SourceError
from attribution.ports import GeneratedImage, SourceState
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendors import NAMES as ADAPTERS
from stub_vendors import Stub
from stub_vendors.server import NAMES as STUBS
from tests.attribution.resynthesis.remote.contract import Case, Contract
from tests.attribution.resynthesis.remote.contracts import NAMES, contracts
from tests.attribution.resynthesis.remote.generation import SECONDS, RecordingGate, generate, generator_of

HANG_SECONDS = 0.7
WRONG = "another-key"
ALL = [pytest.param(c, case, id=f"{c.adapter}-{case}") for c, case in product(contracts(), Case) if case in c.cases]


def test_every_adapter_has_a_stub_and_a_contract() -> None:
    """Every adapter has a stub and a contract of the same name."""
    assert ADAPTERS == STUBS == NAMES == tuple(contract.adapter for contract in contracts())


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.adapter)
def test_what_is_not_tested_has_a_reason(contract: Contract) -> None:
    """Every inapplicable case has a reason, and some cases apply to every vendor."""
    assert all(len(reason.split()) >= 3 for reason in contract.not_applicable.values())
    assert not set(contract.not_applicable) & {Case.OK, Case.TIMEOUT, Case.SLOW, Case.BROKEN_IMAGE, Case.HTML}


@pytest.mark.parametrize(("contract", "case"), ALL)
def test_contract(contract: Contract, case: Case, stub: Stub, foreign_host: Stub, client: HttpClient) -> None:
    """The case has the right state and billing, one submission, and the key is not sent to another host."""
    expected = contract.expected(case)
    elsewhere = foreign_host.url.replace("127.0.0.1", "localhost") + "/elsewhere"  # a path that no stub of a vendor has
    stub.behave(contract.adapter, scenario=expected.scenario, foreign=elsewhere)
    generator = generator_of(contract, stub, client, WRONG if case is Case.WRONG_KEY else None)
    gate = RecordingGate()
    result = generate(generator, gate, seconds=HANG_SECONDS if case is Case.TIMEOUT else SECONDS)

    state = result.state if isinstance(result, SourceError) else SourceState.DONE
    assert state == expected.state, result
    seen = stub.counts(contract.adapter)
    ordered = not (contract.trades_key and case is Case.WRONG_KEY)
    assert seen["orders"] == (1 if ordered else 0)
    assert gate.closed == ([(expected.state, expected.billed)] if ordered else [])
    assert seen["billed"] == expected.billed
    assert seen["keys_leaked"] == 0
    assert not foreign_host.unknown_requests()
    if isinstance(result, SourceError):
        sentence = str(result)
        assert sentence.endswith(".")
        assert WRONG not in sentence
        assert "stub-key" not in sentence
    if isinstance(result, RateLimited):
        assert result.retry_after == contract.retry_after


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.adapter)
def test_seeds(contract: Contract, stub: Stub, client: HttpClient) -> None:
    """The same seed gives the same image and is recorded; without seeds none is recorded."""
    generator = generator_of(contract, stub, client)
    one, again, other = (generate(generator, RecordingGate(), seed) for seed in (5, 5, 2**32 - 1))
    assert isinstance(one, GeneratedImage)
    assert isinstance(again, GeneratedImage)
    assert isinstance(other, GeneratedImage)
    if Case.SEED in contract.not_applicable:
        assert {one.seed, again.seed, other.seed} == {None}
        return
    assert (one.seed, again.seed) == (5, 5)
    assert one.image.tobytes() == again.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.adapter)
def test_an_unmarked_black_image_is_a_refused_output(contract: Contract, stub: Stub, client: HttpClient) -> None:
    """A blank image is a refused output, whatever the response says."""
    stub.behave(contract.adapter, scenario="black")
    result = generate(generator_of(contract, stub, client), RecordingGate())
    assert isinstance(result, SourceError)
    assert result.state is SourceState.REFUSED_OUTPUT


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.adapter)
def test_the_caption_goes_out_unchanged(contract: Contract, stub: Stub, client: HttpClient) -> None:
    """A caption within the limit is sent unchanged, so no other prompt is recorded."""
    result = generate(generator_of(contract, stub, client), RecordingGate())
    assert isinstance(result, GeneratedImage)
    assert result.prompt is None
