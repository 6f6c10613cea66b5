"""Places that owners share: what one holds, and what is left for the next one."""

import pytest

from app.shares import Shares


def taken(places: Shares, owner: str) -> int:
    """How many places an owner that wants all of them gets."""
    count = 0
    while places.take(owner):
        count += 1
    return count


@pytest.mark.parametrize("total", [1, 2, 8, 64])
def test_the_next_owner_finds_a_place(total: int) -> None:
    """However many places one owner wants, it gets half of them, and every further owner gets at least one while any is
    free."""
    places = Shares(total)
    assert taken(places, "greedy") == (total + 1) // 2
    free = total // 2
    for number in range(10):
        got = taken(places, f"next {number}")
        assert (got > 0) == (free > 0)
        free -= got
    assert free == 0


def test_a_released_place_is_free_again() -> None:
    """Also where the block is left by an error; an owner without a place is forgotten."""
    places = Shares(2)

    def fail() -> None:
        with places.held("one") as got:
            assert got
            assert not places.take("one")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert not places._held
    with places.held("one"), places.held("other") as got:
        assert got
        with places.held("third") as third:
            assert not third
        assert not places.take("third")
    assert places.take("third")
