"""Where places are, without a network: 19,000 cities and every country, by GeoNames.

A name is found whatever its case and accents. Of several places of one name the largest is meant, unless the
country follows: ``London, CA``.
"""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import msgspec

__all__ = ["Place", "country", "distance_km", "near_names", "place"]

_EARTH_KM = 6371.0


@dataclass(frozen=True, slots=True)
class Place:
    """``country``: ISO 3166-1 alpha-2. Degrees, north and east positive."""

    name: str
    country: str
    latitude: float
    longitude: float


class _Data(msgspec.Struct):
    about: str
    countries: list[tuple[str, str, str]]
    places: list[tuple[str, str, float, float, list[str]]]


@dataclass(frozen=True, slots=True)
class _Index:
    countries: Mapping[str, str]  # folded code or name -> alpha-2
    places: Mapping[str, Place]  # folded name -> the largest
    in_country: Mapping[tuple[str, str], Place]
    names: Mapping[str, str]  # folded name -> as it is written


def place(text: str) -> Place | None:
    """``Berlin``, ``München``, ``London, CA``; None when no such place is listed."""
    index = _index()
    name, comma, of = text.partition(",")
    if comma:
        code = country(of)
        return index.in_country.get((_folded(name), code)) if code is not None else None
    return index.places.get(_folded(text))


def country(text: str) -> str | None:
    """The alpha-2 code of ``DE``, ``DEU`` or ``Germany``; None when there is no such country."""
    return _index().countries.get(_folded(text))


def near_names(text: str, most: int = 3) -> list[str]:
    """The places and countries that may have been meant, the likeliest first."""
    names, folded = _index().names, _folded(text)
    alike = [name for name in names if name[:1] == folded[:1] and abs(len(name) - len(folded)) <= 3]
    return [names[name] for name in difflib.get_close_matches(folded[:60], alike, n=most, cutoff=0.7)]


def distance_km(one: Place, other: Place) -> float:
    """Along the surface of a sphere (haversine), good to half a percent."""
    phi, psi = math.radians(one.latitude), math.radians(other.latitude)
    north = math.sin((psi - phi) / 2) ** 2
    east = math.sin(math.radians(other.longitude - one.longitude) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, north + math.cos(phi) * math.cos(psi) * east)))


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold().replace("ß", "ss"))
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).split())


@lru_cache(maxsize=1)
def _index() -> _Index:
    data = msgspec.json.decode(files(__package__).joinpath("gazetteer.json").read_bytes(), type=_Data)
    countries: dict[str, str] = {}
    names: dict[str, str] = {}
    for code, longer, written in data.countries:
        countries |= dict.fromkeys((_folded(code), _folded(longer), _folded(written)), code)
        names[_folded(written)] = written
    places: dict[str, Place] = {}
    in_country: dict[tuple[str, str], Place] = {}
    for other in (False, True):  # a name that is some place's own means no other place
        for written, code, latitude, longitude, others in data.places:
            here = Place(written, code, latitude, longitude)
            for name in others if other else (written,):
                places.setdefault(_folded(name), here)
                in_country.setdefault((_folded(name), code), here)
                names.setdefault(_folded(name), name)
    return _Index(countries, places, in_country, names)
