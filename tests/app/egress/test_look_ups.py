"""Look-ups that are given up, and whose places they hold."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from io import BytesIO

import pytest

from app.egress.look_ups import _LOOK_UPS, LookUps, look_ups_of
from app.errors import AddressUnavailable
from tests.app.egress.conftest import MakeClient
from tests.app.egress.site import Site


def test_one_owners_dead_name_servers_leave_room_for_the_others(make_client: MakeClient, site: Site) -> None:
    """Look-ups that never end hold half of the places at most: the next owner's name is resolved at once."""
    answered, looked_up = threading.Event(), 0

    def resolve(host: str, port: int) -> list[str]:
        nonlocal looked_up
        if host == "dead.example":
            looked_up += 1
            answered.wait(60)
        return ["127.0.0.1"]

    client = make_client(resolve, allow=["127.0.0.1"], total_timeout=5)
    soon = timedelta(seconds=0.02)
    try:
        for _ in range(_LOOK_UPS):
            with pytest.raises(AddressUnavailable):
                client.fetch(site.url(host="dead.example"), BytesIO(), max_bytes=1, timeout=soon, owner="hostile")
        assert looked_up == _LOOK_UPS // 2
        into = BytesIO()
        client.fetch(site.url(host="quick.example"), into, max_bytes=1_000, owner="honest")
        assert into.getvalue() == b"a secret"
    finally:
        answered.set()


def test_a_place_is_free_when_the_look_up_has_ended(make_client: MakeClient) -> None:
    """Also where it failed; an owner can look up any number of names one after the other."""

    def resolve(host: str, port: int) -> Sequence[str]:
        if host == "unknown":
            raise OSError("no such name")
        return [host]

    look_ups = LookUps(resolve)
    with look_ups_of("one"):
        for _ in range(2 * _LOOK_UPS):
            assert look_ups.addresses("known", 80, 5) == ["known"]
            with pytest.raises(Exception, match="no such name"):
                look_ups.addresses("unknown", 80, 5)
    assert not look_ups._places._held
