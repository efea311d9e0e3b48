"""Which servers carry out a piece of work: of those that fit the wish, the ones with the most room.

A wish names a pool, a region, labels, and what the servers are near: a place (within 500 km), a country, a
network, a tag, or several of them that must all hold, joined by ``+``: ``Berlin+AS3320``. `check` refuses
what no server and no pool could ever have; `choose` answers with servers, or with what is awaited.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from callwright.fleet import gazetteer
from callwright.fleet.gazetteer import Place, distance_km
from callwright.fleet.pool import Pool

__all__ = [
    "MOST_SERVERS",
    "NEAR_KM",
    "Awaits",
    "Choice",
    "PlacementError",
    "Site",
    "Wish",
    "check",
    "choose",
    "fits",
    "likeliest_pool",
]

NEAR_KM = 500.0
MOST_SERVERS = 1_000


class PlacementError(ValueError):
    """Nothing could ever fit. ``field``: as in the API, ``placement.near``; ``near``: what may have been
    meant."""

    def __init__(self, field: str, message: str, near: Sequence[str] = ()) -> None:
        super().__init__(f"{message} Did you mean {' or '.join(near)}?" if near else message)
        self.field, self.near = field, tuple(near)


class Wish(msgspec.Struct, frozen=True, omit_defaults=True):
    """What work asks of its servers; an empty field asks for nothing. ``count``: different servers."""

    pool: str = ""
    region: str = ""
    labels: Mapping[str, str] = {}
    near: str = ""
    count: int = 1

    @property
    def chooses(self) -> bool:
        """Whether it asks for more than a pool."""
        return bool(self.region or self.labels or self.near) or self.count > 1


@dataclass(frozen=True, slots=True)
class Site:
    """A server as placement sees it. ``place``: the name of one, ``Frankfurt am Main``; ``country``: alpha-2
    or a name; ``network``: ``AS3320`` or a name. ``labels["tags"]``: words between commas. ``works``: it runs
    and takes new work, so a drained one does not. ``agent_id``: the program on it."""

    name: str
    pool: str
    region: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    country: str = ""
    network: str = ""
    capacity: int = 1
    busy: int = 0
    works: bool = True
    agent_id: str = ""

    @property
    def tags(self) -> frozenset[str]:
        return frozenset(tag.strip().casefold() for tag in self.labels.get("tags", "").split(",")) - {""}

    @property
    def at(self) -> Place | None:
        """Where it is; a region that is called as a place tells it too."""
        return gazetteer.place(self.place or self.region)

    @property
    def in_country(self) -> str | None:
        at = self.at
        return gazetteer.country(self.country) or (at.country if at is not None else None)


class Awaits(StrEnum):
    """Why fewer servers than wished were chosen."""

    SERVER = "server"  # none fits
    WORKING = "working"  # those that fit take no new work
    PLACE = "place"  # those that fit and work are full
    MORE = "more"  # some are free, fewer than wished


@dataclass(frozen=True, slots=True)
class Choice:
    """``servers``: names, as many as were wished, or none and ``awaits``. ``fitting``: servers that fit,
    ``working``: those of them that take new work, ``free``: those of these that have a place. ``nearest``:
    the nearest server that is too far, with its distance in km, where a place was asked for and nothing
    fits."""

    servers: tuple[str, ...] = ()
    awaits: Awaits | None = None
    fitting: int = 0
    working: int = 0
    nearest: tuple[str, float] | None = None
    free: int = 0


def fits(wish: Wish, site: Site) -> bool:
    """Whether the server is what was asked for, be it free or not."""
    return _fits(wish, site) and all(_near(site, term) for term in _terms(wish.near))


def likeliest_pool(wish: Wish, sites: Iterable[Site], pools: Iterable[Pool]) -> str | None:
    """The pool in which the wish is fulfilled soonest, for work that names none: where enough servers fit
    and take work, else where any do, else where one that fits would be made. None: nowhere."""
    here: dict[str, list[int]] = {}
    for site in sites:
        if fits(wish, site):
            found = here.setdefault(site.pool, [0, 0])
            found[0] += site.works
            found[1] += 1
    for pool in pools:
        labeled = all(pool.labels.get(key) == value for key, value in wish.labels.items())
        if pool.maximum and labeled and wish.region in ("", pool.region) and not wish.near:
            here.setdefault(pool.name, [0, 0])
    ranked = sorted(here, key=lambda name: (-min(here[name][0], wish.count), -here[name][1], name))
    return ranked[0] if ranked else None


def check(wish: Wish, sites: Iterable[Site], pools: Iterable[Pool]) -> None:
    """Raises PlacementError for a pool, region, label or place that nobody has: a pool counts without a
    server, since one may be made."""
    known, made = list(sites), list(pools)
    if not 1 <= wish.count <= MOST_SERVERS:
        raise PlacementError("placement.count", f"placement.count is {wish.count}: use 1 to {MOST_SERVERS}.")
    names = {pool.name for pool in made} | {site.pool for site in known}
    if wish.pool and wish.pool not in names:
        raise PlacementError("agentpool.name", f"There is no pool {wish.pool!r}.", _alike(wish.pool, names))
    regions = {pool.region for pool in made} | {site.region for site in known}
    if wish.region and wish.region not in regions:
        message = f"No server or pool has the region {wish.region!r}."
        raise PlacementError("placement.region", message, _alike(wish.region, regions))
    labels = [pool.labels for pool in made] + [site.labels for site in known]
    for key, value in wish.labels.items():
        values = {one[key] for one in labels if key in one}
        if not values:
            keys = {key for one in labels for key in one}
            raise PlacementError(
                "placement.labels", f"No server or pool has a label {key!r}.", _alike(key, keys)
            )
        if value not in values:
            raise PlacementError(
                "placement.labels", f"No server or pool has the label {key}={value}.", _alike(value, values)
            )
    for term in _terms(wish.near):
        if not (_is_listed(term) or any(_is_of(site, term) for site in known)):
            raise PlacementError(
                "placement.near",
                f"{term!r} is not a known place, country, network or tag.",
                gazetteer.near_names(term),
            )


def choose(wish: Wish, sites: Iterable[Site]) -> Choice:
    """The servers with the smallest share of their places busy; where a place is asked for, the nearest
    first. Of equal ones the names decide, so that everybody who asks gets the same answer."""
    terms = _terms(wish.near)
    around = next((found for term in terms if (found := _place_meant(term)) is not None), None)
    asked = [site for site in sites if _fits(wish, site)]
    fitting = [site for site in asked if all(_near(site, term) for term in terms)]
    working = [site for site in fitting if site.works]
    free = [site for site in working if site.busy < site.capacity]
    if len(free) >= wish.count:
        ranked = sorted(free, key=lambda site: (_km(site, around), site.busy / site.capacity, site.name))
        chosen = tuple(site.name for site in ranked[: wish.count])
        return Choice(chosen, None, len(fitting), len(working), free=len(free))
    awaits = Awaits.MORE
    nearest = None
    if not fitting:
        awaits = Awaits.SERVER
        if around is not None:
            far = [(_km(site, around), site.name) for site in asked if site.at is not None]
            nearest = (min(far)[1], min(far)[0]) if far else None
    elif not working:
        awaits = Awaits.WORKING
    elif not free:
        awaits = Awaits.PLACE
    return Choice((), awaits, len(fitting), len(working), nearest, len(free))


def _fits(wish: Wish, site: Site) -> bool:
    return (
        wish.pool in ("", site.pool)
        and wish.region in ("", site.region)
        and all(site.labels.get(key) == value for key, value in wish.labels.items())
    )


def _terms(near: str) -> list[str]:
    return [term.strip() for term in near.split("+") if term.strip()]


def _place_meant(term: str) -> Place | None:
    """A country is meant before a place of its name."""
    return None if gazetteer.country(term) else gazetteer.place(term)


def _is_listed(term: str) -> bool:
    return gazetteer.country(term) is not None or gazetteer.place(term) is not None


def _is_of(site: Site, term: str) -> bool:
    """By its network or one of its tags."""
    return term.casefold() == site.network.casefold() or term.casefold() in site.tags


def _near(site: Site, term: str) -> bool:
    if _is_of(site, term):
        return True
    code = gazetteer.country(term)
    if code is not None:
        return site.in_country == code
    place = gazetteer.place(term)
    return place is not None and _km(site, place) <= NEAR_KM


def _km(site: Site, place: Place | None) -> float:
    """0 when no place is asked for; without end when nobody knows where the server is."""
    if place is None:
        return 0.0
    at = site.at
    return float("inf") if at is None else distance_km(at, place)


def _alike(word: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(word[:100], sorted(filter(None, names)), n=3, cutoff=0.5)
