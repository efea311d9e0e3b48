"""`callwright fleet list|show|pool|pause|resume`: the fleet of a running platform."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from callwright.cli.client import DEFAULT_URL, Client, KeyOption, UrlOption, quoted
from callwright.cli.console import JsonFlag, VerboseFlag, print_json, show
from callwright.host.operator import EXIT_PASSED, Refused

__all__ = ["list_", "pause", "pool", "resume", "show_"]

_SHOWN_REASONS = 10
_KEYS = ("ca_key", "tls_key", "secret")
_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The pool's name.")]


def list_(
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """List the pools with their servers, and the planner's last reason of each."""
    with Client(url, key) as api:
        paused = _paused(api)
        pools = [_pool(api, row["name"]) for row in api.get("/agentpools")["data"]]
    if as_json:
        print_json({"paused": paused, "pools": pools})
        return EXIT_PASSED
    if paused:
        show("The fleet is paused: no server is made or ended by itself. Continue: callwright fleet resume")
    for number, one in enumerate(pools):
        if number:
            show("")
        _print_pool(one, reasons=1)
    return EXIT_PASSED


def show_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A pool's or a server's name.")],
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Show a pool with its settings, servers and the planner's reasons, or one server."""
    with Client(url, key) as api:
        found = _maybe(api, f"/agentpools/{quoted(name)}")
        if found is not None:
            if as_json:
                print_json({"pool": found})
            else:
                _print_pool(found, reasons=_SHOWN_REASONS)
                _print_settings(found)
            return EXIT_PASSED
        server = _maybe(api, f"{api.base}/api/servers/{quoted(name)}")
    if server is None:
        raise Refused(f"No pool or server named {name!r}.", "callwright fleet list has all of them.")
    plain = {field: value for field, value in server.items() if field not in _KEYS}
    if as_json:
        print_json({"server": plain})
    else:
        for field, value in plain.items():
            if value not in ("", 0, None) and not field.endswith("_cert"):
                show(f"{field:<9} {_when(value) if field in _TIMES else value}")
    return EXIT_PASSED


def pool(
    name: _NameArgument,
    provider: Annotated[
        str | None, typer.Option("--provider", help="Where servers come from: process, …")
    ] = None,
    region: Annotated[str | None, typer.Option("--region", help="As the provider calls it.")] = None,
    image: Annotated[str | None, typer.Option("--image", help="As the provider calls it.")] = None,
    size: Annotated[
        list[str] | None,
        typer.Option("--size", help="May be repeated: the next one is asked for when one is out of stock."),
    ] = None,
    minimum: Annotated[int | None, typer.Option("--minimum", metavar="N", help="Servers at least.")] = None,
    maximum: Annotated[int | None, typer.Option("--maximum", metavar="N", help="Servers at most.")] = None,
    capacity: Annotated[
        int | None, typer.Option("--capacity", metavar="N", help="Calls at once on one server.")
    ] = None,
    buffer: Annotated[
        int | None, typer.Option("--buffer", metavar="N", help="Places for calls that are kept free.")
    ] = None,
    min_age: Annotated[
        float | None, typer.Option("--min-age", metavar="SECONDS", help="No server is retired younger.")
    ] = None,
    idle: Annotated[
        float | None, typer.Option("--idle", metavar="SECONDS", help="Idle time after which one is retired.")
    ] = None,
    drain: Annotated[
        float | None,
        typer.Option("--drain", metavar="SECONDS", help="What a retired one has to finish its calls."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="May be repeated.")
    ] = None,
    max_created_per_hour: Annotated[
        str | None,
        typer.Option("--max-created-per-hour", metavar="N|none", help="The bound on spending."),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option("--price", metavar="SIZE=NUMBER", help="Of a server per hour; may be repeated."),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove the pool; its servers finish their calls first.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Set a pool up, change what is named, or remove it."""
    given: dict[str, Any] = {
        "provider": provider,
        "region": region,
        "image": image,
        "sizes": size,
        "minimum": minimum,
        "maximum": maximum,
        "capacity": capacity,
        "buffer": buffer,
        "min_age_seconds": min_age,
        "idle_seconds": idle,
        "drain_seconds": drain,
        "labels": _pairs(label, "--label"),
        "prices": _pairs(price, "--price"),
    }
    settings = {field: value for field, value in given.items() if value is not None}
    if max_created_per_hour is not None:
        settings["max_created_per_hour"] = (
            None if max_created_per_hour.lower() == "none" else max_created_per_hour
        )
    path = f"/agentpools/{quoted(name)}"
    with Client(url, key) as api:
        if remove:
            return _removed(api, path, name, as_json=as_json)
        known = _maybe(api, path)
        if settings or known is None:
            fresh = known is None or _is_dormant(known)
            api.request("PUT" if fresh else "PATCH", path, json=settings)
        found = _pool(api, name)
    if as_json:
        print_json({"pool": found})
    else:
        _print_pool(found, reasons=1)
        _print_settings(found)
    return EXIT_PASSED


def pause(
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Make and end no server by itself, until `resume`; a restart changes nothing of it."""
    return _switch(url, key, "pause", as_json=as_json)


def resume(
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Make and end servers again."""
    return _switch(url, key, "resume", as_json=as_json)


def _switch(url: str, key: str | None, verb: str, *, as_json: bool) -> int:
    with Client(url, key) as api:
        api.request("POST", f"{api.base}/api/{verb}")
        paused = _paused(api)
    if as_json:
        print_json({"paused": paused})
    else:
        show("The fleet is paused." if paused else "The fleet makes and ends servers by itself.")
    return EXIT_PASSED


def _removed(api: Client, path: str, name: str, *, as_json: bool) -> int:
    gone = api.request("DELETE", path, params={"drain": "true"}).status_code != 202
    if as_json:
        print_json({"pool": name, "removed": gone})
    else:
        show(
            f"The pool {name} is removed." if gone else f"The servers of {name} end, and then the pool goes."
        )
    return EXIT_PASSED


def _paused(api: Client) -> bool:
    return bool(api.get(f"{api.base}/varz")["paused"])


def _pool(api: Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/agentpools/{quoted(name)}")["data"]
    return found


def _maybe(api: Client, path: str) -> dict[str, Any] | None:
    """None: there is no such thing."""
    try:
        found = api.get(path)
    except Refused as refusal:
        if refusal.details.get("status") == 404:
            return None
        raise
    return found.get("data", found)  # type: ignore[no-any-return]


def _is_dormant(known: dict[str, Any]) -> bool:
    """Nobody has set it up: its maximum of 0 is nobody's choice."""
    from callwright.fleet.pool import SETTINGS, dormant, with_settings

    nobodys = dormant(known["name"])
    return with_settings(nobodys, {name: known[name] for name in SETTINGS}) == nobodys


def _pairs(given: list[str] | None, flag: str) -> dict[str, str] | None:
    if not given:
        return None
    pairs = [one.partition("=") for one in given]
    for name, equals, _ in pairs:
        if not equals:
            raise Refused(f"{flag} {name}: no '='.", f"For example: {flag} key=value")
    return {name: value for name, _, value in pairs}


# -- on the terminal

_TIMES = ("created", "updated", "started", "stopped")


def _when(seconds: Any) -> str:
    from callwright.cli.records import when

    return when(seconds)


def _print_pool(one: dict[str, Any], *, reasons: int) -> None:
    from callwright.fleet.words import counted

    servers = one["servers"]
    running = sum(server["state"] == "running" for server in servers)
    facts = [f"{counted(running, 'server')} running"]
    if len(servers) > running:
        facts[0] += f" of {len(servers)}"
    facts.append(f"{one['busy']} of {counted(one['places'], 'place')} busy")
    facts.append(f"minimum {one['minimum']}, maximum {one['maximum']}")
    if one["removed"]:
        facts.append("is being removed")
    show(f"{one['name']}: {'; '.join(facts)}")
    width = max((len(server["name"]) for server in servers), default=0)
    for server in servers:
        busy = "" if server["busy"] is None else f"{server['busy']}/{server['capacity']}"
        where = " ".join(part for part in (server["region"], server["size"], server["address"]) if part)
        line = (
            f"  {server['name']:<{width}}  {server['state']:<8}  {server['provider']:<9}  {busy:>7}  {where}"
        )
        show(line.rstrip())
        if server["error"]:
            show(f"  {'':<{width}}  {server['error']}")
    for reason in one["reasons"][:reasons]:
        show(f"  {reason['at']}  {reason['sentence']}")


def _print_settings(one: dict[str, Any]) -> None:
    from callwright.fleet.pool import SETTINGS

    for name in SETTINGS:
        value = one[name]
        if isinstance(value, dict):
            value = ", ".join(f"{key}={found}" for key, found in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        show(f"  {name:<21} {'none' if value in (None, '') else value}")
