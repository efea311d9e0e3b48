"""Opens the platform's records for the verbs that work beside a running platform."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from callwright.cli.console import show
from callwright.host.operator import EXIT_PLATFORM, EXIT_REFUSED, Refused

if TYPE_CHECKING:
    from callwright.control.services import Services

T = TypeVar("T")

DataOption = Annotated[
    Path,
    typer.Option("--data", envvar="CALLWRIGHT_DATA", metavar="DIR", help="The platform's data folder."),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="CALLWRIGHT_DATABASE",
        metavar="URL",
        help="postgresql://…, where the records are not in the data folder.",
    ),
]
DEFAULT_DATA = Path("data")


def run_on_records(work: Callable[[], Awaitable[T]]) -> T:
    """Runs the work. Raises Refused for what the domain refuses."""

    async def guarded() -> T:
        return await work()

    with refusing():
        return asyncio.run(guarded())


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """What the domain refuses becomes a Refused with its remedy."""
    from callwright.control.errors import DomainError, StorageUnavailable

    try:
        yield
    except DomainError as error:
        ours = isinstance(error, StorageUnavailable)
        raise Refused(
            error.message,
            error.remedy,
            code=EXIT_PLATFORM if ours else EXIT_REFUSED,
            blame="platform" if ours else "test",
        ) from None
    except OSError as error:
        raise Refused(
            f"{error.filename or 'the data folder'} cannot be used: {error.strerror or error}",
            code=EXIT_PLATFORM,
            blame="platform",
        ) from None


def with_services(
    data: Path,
    database: str | None,
    work: Callable[[Services], Awaitable[T]],
    *,
    create: bool = False,
) -> T:
    """``create``: make the records when there are none. Raises Refused."""

    async def opened() -> T:
        from callwright.control.errors import DomainError
        from callwright.control.services import Services
        from callwright.control.storage import schema
        from callwright.net.clock import SystemClock
        from callwright.net.entropy import system_entropy

        location = location_of(data, database)
        if not create and not await schema.current(location):
            raise DomainError(
                f"There is no platform in {data}.",
                "Name its folder with --data, or start one: callwright serve",
            )
        services = await Services.open(
            data,
            clock=SystemClock(),
            entropy=system_entropy,
            database=database,
            migrate=create,
            new_secret_key=False,
            connections=2,
        )
        try:
            return await work(services)
        finally:
            await services.close()

    return run_on_records(opened)


def location_of(data: Path, database: str | None) -> Any:
    """Raises Refused for a URL of another kind of database."""
    from callwright.control.storage.schema import Location

    try:
        return Location.of(data, database)
    except ValueError as error:
        raise Refused(f"--database: {error}") from None


def when(unix: float | None) -> str:
    """A time for a person: UTC to the minute."""
    from datetime import UTC, datetime

    if unix is None:
        return "never"
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M")


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Columns as wide as they must be; what comes from users is shown without control characters."""
    shown = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)]
    for row in (columns, *shown):
        show("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
