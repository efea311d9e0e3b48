"""Work goes to the servers that it asks for, evenly, and never to one that is drained."""

from __future__ import annotations

import time
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.fleet import gazetteer
from callwright.fleet.gazetteer import Place, distance_km
from callwright.fleet.placement import NEAR_KM, Awaits, PlacementError, Site, Wish, check, choose
from callwright.fleet.pool import Pool

SITES = (
    Site("ber", "eu", "eu-central", place="Berlin", network="AS3320", capacity=10),
    Site("ham", "eu", "eu-central", place="Hamburg", network="AS680", capacity=10),
    Site("fra", "eu", "eu-central", {"tags": "datacenter, lab"}, "Frankfurt", capacity=10),
    Site("lon", "uk", "London", {"rack": "a1"}, capacity=10),
    Site("nyc", "us", "us-east", {"rack": "b2"}, "New York", capacity=10),
    Site("hid", "us", "us-east", capacity=10),
)
POOLS = (Pool("eu", region="eu-central"), Pool("asia", region="ap-south", labels={"tier": "gold"}))


def _chosen(near: str = "", **wish: object) -> tuple[str, ...]:
    return choose(Wish(near=near, **wish), SITES).servers  # type: ignore[arg-type]


# -- places


@pytest.mark.parametrize(
    ("text", "name", "code"),
    [
        ("Berlin", "Berlin", "DE"),
        ("münchen", "Munich", "DE"),
        ("Koeln", "Köln", "DE"),
        ("  new   york ", "New York City", "US"),
        ("London", "London", "GB"),
        ("London, CA", "London", "CA"),
        ("London, Canada", "London", "CA"),
        ("Ashburn", "Ashburn", "US"),
        ("SÃO PAULO", "São Paulo", "BR"),
    ],
)
def test_a_place_is_found_whatever_its_case_accents_and_language(text: str, name: str, code: str) -> None:
    found = gazetteer.place(text)
    assert found is not None
    assert (found.name, found.country) == (name, code)


@pytest.mark.parametrize("text", ["DE", "deu", "Germany", " germany "])
def test_a_country_is_found_by_code_and_name(text: str) -> None:
    assert gazetteer.country(text) == "DE"


@pytest.mark.parametrize("text", ["", "Mordor", "London, Mars", ",", "Berlin, FR", "x" * 10_000, "\0"])
def test_a_place_that_is_none_is_not_found(text: str) -> None:
    assert gazetteer.place(text) is None


def test_a_name_that_was_mistyped_has_a_likely_place() -> None:
    assert "Berlin" in gazetteer.near_names("Berlim")
    assert "Frankfurt am Main" in gazetteer.near_names("Frankfrut am Main")


def test_distances_are_those_of_an_atlas() -> None:
    berlin, hamburg, sydney = (gazetteer.place(name) for name in ("Berlin", "Hamburg", "Sydney"))
    assert berlin is not None
    assert hamburg is not None
    assert sydney is not None
    assert distance_km(berlin, hamburg) == pytest.approx(255, abs=5)
    assert distance_km(berlin, sydney) == pytest.approx(16_090, rel=0.01)
    assert distance_km(Place("a", "", 0, 179.9), Place("b", "", 0, -179.9)) == pytest.approx(22.2, abs=0.2)
    assert distance_km(Place("n", "", 90, 0), Place("s", "", -90, 77)) == pytest.approx(20_015, abs=1)


# -- choosing


def test_servers_near_a_place_are_chosen_by_distance() -> None:
    assert _chosen("Berlin", count=3) == ("ber", "ham", "fra")
    assert _chosen("Hamburg", count=1) == ("ham",)


def test_a_full_server_makes_way_for_the_next_nearest() -> None:
    sites = [replace(site, busy=10) if site.name == "ber" else site for site in SITES]
    assert choose(Wish(near="Berlin"), sites).servers == ("ham",)


@pytest.mark.parametrize(
    ("near", "servers"),
    [
        ("Germany", {"ber", "ham", "fra"}),
        ("DE", {"ber", "ham", "fra"}),
        ("GB", {"lon"}),  # its region is called as a place
        ("AS3320", {"ber"}),
        ("as680", {"ham"}),
        ("datacenter", {"fra"}),
        ("Germany+lab", {"fra"}),
        ("Berlin + AS680", {"ham"}),
    ],
)
def test_servers_are_found_by_country_network_tag_and_all_of_them(near: str, servers: set[str]) -> None:
    assert set(_chosen(near, count=len(servers))) == servers
    assert _chosen(near, count=len(servers) + 1) == ()


def test_region_labels_and_pool_must_all_hold() -> None:
    assert _chosen(region="us-east", labels={"rack": "b2"}) == ("nyc",)
    assert _chosen(region="us-east", labels={"rack": "a1"}) == ()
    assert _chosen(pool="uk") == ("lon",)


def test_what_work_waits_for_is_told_apart() -> None:
    def awaits(wish: Wish, **changes: object) -> Awaits | None:
        return choose(wish, [replace(site, **changes) for site in SITES]).awaits  # type: ignore[arg-type]

    berlin = Wish(near="Berlin")
    assert awaits(berlin) is None
    assert awaits(berlin, works=False) is Awaits.WORKING
    assert awaits(berlin, busy=10) is Awaits.PLACE
    assert awaits(msgspec.structs.replace(berlin, count=4)) is Awaits.MORE
    assert awaits(Wish(near="Tokyo")) is Awaits.SERVER


def test_the_nearest_server_is_named_when_all_are_too_far() -> None:
    found = choose(Wish(near="Madrid"), SITES)
    assert found.awaits is Awaits.SERVER
    assert found.nearest is not None
    name, km = found.nearest
    assert (name, NEAR_KM < km < 1500) == ("lon", True)


# -- refusing


@pytest.mark.parametrize(
    ("wish", "field", "said"),
    [
        (Wish(pool="eux"), "agentpool.name", "There is no pool 'eux'. Did you mean eu?"),
        (Wish(region="eu-centrl"), "placement.region", "'eu-centrl'. Did you mean eu-central"),
        (Wish(labels={"rak": "a1"}), "placement.labels", "a label 'rak'. Did you mean rack?"),
        (Wish(labels={"rack": "a2"}), "placement.labels", "the label rack=a2. Did you mean"),
        (Wish(near="Berlinn"), "placement.near", "'Berlinn' is not a known place, country, network or tag"),
        (Wish(near="Berlin+AS1"), "placement.near", "'AS1' is not a known place"),
        (Wish(count=0), "placement.count", "placement.count is 0"),
    ],
)
def test_what_nobody_has_is_refused_by_name(wish: Wish, field: str, said: str) -> None:
    with pytest.raises(PlacementError) as caught:
        check(wish, SITES, POOLS)
    assert caught.value.field == field
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "wish",
    [
        Wish(),
        Wish(pool="asia", region="ap-south", labels={"tier": "gold"}),
        Wish(near="Tokyo"),
        Wish(near="Germany+datacenter"),
    ],
)
def test_what_a_pool_could_have_and_what_is_on_the_map_is_accepted_without_a_server(wish: Wish) -> None:
    check(wish, SITES, POOLS)


# -- spreading


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=8), st.integers(0, 60))
def test_work_is_spread_evenly_and_never_goes_to_a_drained_server(
    servers: list[tuple[int, bool]], pieces: int
) -> None:
    sites = {
        f"s{n}": Site(f"s{n}", "p", capacity=capacity, works=works)
        for n, (capacity, works) in enumerate(servers)
    }
    room = sum(site.capacity for site in sites.values() if site.works)
    for piece in range(pieces):
        choice = choose(Wish(), sites.values())
        assert bool(choice.servers) == (piece < room)
        if not choice.servers:
            break
        taken = sites[choice.servers[0]]
        sites[taken.name] = replace(taken, busy=taken.busy + 1)
    working = [site for site in sites.values() if site.works]
    assert all(site.busy == 0 for site in sites.values() if not site.works)
    for one in working:
        for other in working:  # nobody has a piece more than another would have had by taking it
            assert (one.busy - 1) / one.capacity <= other.busy / other.capacity


@given(st.integers(1, 6), st.lists(st.integers(0, 3), max_size=8))
def test_a_wish_for_several_servers_gives_so_many_different_ones_or_none(count: int, busy: list[int]) -> None:
    sites = [Site(f"s{n}", "p", capacity=3, busy=taken) for n, taken in enumerate(busy)]
    choice = choose(Wish(count=count), sites)
    free = sum(taken < 3 for taken in busy)
    assert len(set(choice.servers)) == (count if free >= count else 0)
    assert (choice.awaits is None) == bool(choice.servers)


def test_ten_thousand_servers_are_looked_at_at_once() -> None:
    sites = [Site(f"s{n}", f"p{n % 50}", "eu", place="Berlin", capacity=10) for n in range(10_000)]
    choose(Wish(near="Berlin"), sites[:1])
    began = time.process_time()
    assert len(choose(Wish(near="Berlin", count=100), sites).servers) == 100
    assert time.process_time() - began < 5
