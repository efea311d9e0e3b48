"""`callwright backup`, `restore` and `migrate`: the platform's records, kept and brought forward."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import typer

from callwright.cli.console import JsonFlag, VerboseFlag, print_json, show
from callwright.cli.records import (
    DEFAULT_DATA,
    DatabaseOption,
    DataOption,
    location_of,
    refusing,
    run_on_records,
)
from callwright.host.evidence_place import noted_place
from callwright.host.operator import EXIT_PASSED, EXIT_PLATFORM, EXIT_REFUSED, Refused, say

backup_app = typer.Typer(rich_markup_mode="rich", add_completion=False)
restore_app = typer.Typer(rich_markup_mode="rich", add_completion=False)
migrate_app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_MANIFEST = "callwright-backup.json"
_KEY = "secret.key"
_SQLITE = "callwright.db"
_DUMP = "callwright.pgdump"


@backup_app.command(
    epilog="""
[bold]Examples[/bold]

  callwright backup --data /var/lib/callwright --to /backup/callwright.tar.gz

  callwright backup --no-evidence --to small.tar.gz

The file holds secret.key: whoever has it reads the SIP passwords. It is written 0600. Evidence in a bucket
(s3://…) stays there and is not in the file.
"""
)
def backup(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Write this file (.tar.gz).")],
    evidence: Annotated[bool, typer.Option("--evidence/--no-evidence", help="With files of runs.")] = True,
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Copy records, evidence and the key into one file, also while the platform runs."""
    location = location_of(data, database)
    version = _schema(location)
    if version is None:
        raise Refused(f"There is no platform in {data}.", "Name its folder with --data.")
    place = noted_place(data)
    elsewhere = place if place is not None and place.startswith("s3:") else None
    folder = data / "evidence" if place is None or elsewhere else Path(place)
    manifest = {
        "callwright_backup": 1,
        "schema": version,
        "database": "sqlite" if location.path else "postgresql",
        "made_at": time.time(),
        "evidence": evidence and not elsewhere,
        "evidence_place": elsewhere,
    }
    try:
        with tempfile.TemporaryDirectory(dir=to.absolute().parent) as scratch:
            records = Path(scratch) / (_SQLITE if location.path else _DUMP)
            _copy_records(location, records)
            draft = Path(scratch) / "backup.tar.gz"
            # Records first: evidence that comes meanwhile has no row, and a row never lacks its file.
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
                (Path(scratch) / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
                archive.add(Path(scratch) / _MANIFEST, _MANIFEST)
                archive.add(records, records.name)
                if (data / _KEY).exists():
                    archive.add(data / _KEY, _KEY)
                else:
                    say(f"{data / _KEY} is missing: after a restore the SIP passwords cannot be read")
                if evidence and not elsewhere and folder.is_dir():
                    _add_evidence(archive, folder)
            os.replace(draft, to)
    except OSError as error:
        raise Refused(
            f"{error.filename or to} cannot be written: {error.strerror or error}", code=EXIT_PLATFORM
        ) from None
    size = to.stat().st_size
    if as_json:
        print_json({"file": str(to), "size": size, "schema": version, "evidence_place": elsewhere})
    else:
        show(f"{to}  {size:,} octets, schema {version}")
        if elsewhere and evidence:
            say(f"The evidence is in {elsewhere} and not in this file: keep the bucket, or copy it yourself.")
    return EXIT_PASSED


@restore_app.command(
    epilog="""
[bold]Examples[/bold]

  callwright restore /backup/callwright.tar.gz --data /var/lib/callwright

  callwright restore /backup/callwright.tar.gz --replace

While a platform runs on the folder or on the database, from whatever machine, it is refused; and none starts
there before it has ended.
"""
)
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `callwright backup` wrote.")],
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Put what is there now aside, as NAME.before-restore in the data folder."
        ),
    ] = False,
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Bring a backup back. One of a newer Callwright is refused; an older one is brought forward."""
    from callwright.control.storage import schema

    location = location_of(data, database)
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _no_platform(data), tempfile.TemporaryDirectory(dir=data) as scratch:
            manifest = _unpack(file, Path(scratch))
            _check_version(manifest)
            if not replace:
                _refuse_to_replace(
                    *(path for path in (location.path, data / _KEY, data / "evidence") if path)
                )
            with _reserved(location):
                aside = data / f"{_DUMP}.before-restore"
                _place_records(location, Path(scratch), manifest, replace=replace, aside=aside)
                for name in (_KEY, "evidence"):
                    if (Path(scratch) / name).exists():
                        _put_aside(data / name)
                        os.replace(Path(scratch) / name, data / name)
                # Before anybody may start on it.
                _, now = run_on_records(lambda: schema.migrate(location))
    except OSError as error:
        raise Refused(f"{error.filename or file}: {error.strerror or error}", code=EXIT_PLATFORM) from None
    if as_json:
        print_json({"file": str(file), "schema": now, "was_schema": manifest["schema"]})
    else:
        show(f"restored  {file}, schema {now}")
        if manifest["schema"] != now:
            say(f"The backup had schema {manifest['schema']} and was brought forward.")
        if manifest.get("evidence_place"):
            say(
                f"The evidence was in {manifest['evidence_place']} and is looked for where --evidence of "
                "`callwright serve` says."
            )
    return EXIT_PASSED


@migrate_app.command()
def migrate(
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Bring the schema of the database forward. A newer one is refused and left untouched."""
    from callwright.control.storage import schema

    location = location_of(data, database)
    before, now = run_on_records(lambda: schema.migrate(location))
    if as_json:
        print_json({"before": before, "now": now})
    elif before == now:
        show(f"schema {now}  nothing to do")
    else:
        show(f"schema {before or 'none'} -> {now}")
    return EXIT_PASSED


def _schema(location: Any) -> str | None:
    from callwright.control.storage import schema

    return run_on_records(lambda: schema.current(location))


def _copy_records(location: Any, to: Path) -> None:
    if location.path is None:
        os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        _pg(location.url, "pg_dump", "--format=custom", "--no-owner", f"--file={to}")
        return
    try:
        source, copy = sqlite3.connect(location.path, timeout=30), sqlite3.connect(to)
        with contextlib.closing(source), contextlib.closing(copy):
            source.backup(copy)  # consistent, while others write
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise Refused(f"{location.path} cannot be copied: {error}", code=EXIT_PLATFORM) from None


# Ours, and what refers to them: a database that was brought forward has tables that the backup does not know.
_DROP = """
SET client_min_messages = warning;
DO $$
DECLARE
    doomed text;
BEGIN
    WITH RECURSIVE ours AS (
        SELECT oid FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND relname IN ({names})
        UNION
        SELECT conrelid FROM pg_constraint JOIN ours ON confrelid = ours.oid WHERE contype = 'f'
    )
    SELECT string_agg(oid::regclass::text, ', ') INTO doomed FROM ours;
    IF doomed IS NOT NULL THEN
        EXECUTE 'DROP TABLE ' || doomed;
    END IF;
END $$;
"""


def _replace_tables(url: str, scratch: Path) -> None:
    """All or nothing: when anything fails, what was there is there still."""
    from callwright.control.storage.sql.tables import metadata

    names = ", ".join(f"'{name}'" for name in (*metadata.tables, "alembic_version"))
    drop, dump = scratch / "drop.sql", scratch / "dump.sql"
    drop.write_text(_DROP.format(names=names), encoding="utf-8")
    _pg_program("pg_restore", "--clean", "--if-exists", "--no-owner", f"--file={dump}", str(scratch / _DUMP))
    _pg(
        url,
        "psql",
        *("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null"),
        *(f"--file={drop}", f"--file={dump}"),
    )


def _pg(url: str, program: str, *arguments: str) -> None:
    """Runs a program of PostgreSQL's on a database. Raises Refused when it is not there or fails."""
    parts = urlsplit(url)
    environment = {}
    if parts.password is not None:  # arguments can be seen by every user of the machine
        environment["PGPASSWORD"] = unquote(parts.password)
        user, _, place = parts.netloc.rpartition("@")
        url = urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{place}"))
    _pg_program(program, *arguments, f"--dbname={url}", **environment)


def _pg_program(program: str, *arguments: str, **environment: str) -> None:
    found = shutil.which(program) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)),
        None,
    )
    if found is None:
        raise Refused(f"{program} is not installed.", "Install PostgreSQL's client programs.")
    done = subprocess.run(
        [found, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if done.returncode != 0:
        raise Refused(f"{program} failed: {done.stderr.strip()[-500:]}", code=EXIT_PLATFORM)


def _add_evidence(archive: tarfile.TarFile, folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0].startswith(".") or not path.is_file() or path.is_symlink():
            continue
        with contextlib.suppress(FileNotFoundError):  # removed by the retention meanwhile
            archive.add(path, f"evidence/{relative.as_posix()}")


def _unpack(file: Path, scratch: Path) -> dict[str, Any]:
    try:
        with tarfile.open(file) as archive:
            archive.extractall(scratch, filter="data")
        manifest: dict[str, Any] = json.loads((scratch / _MANIFEST).read_text("utf-8"))
        if manifest.get("callwright_backup") != 1:
            raise ValueError
    except (tarfile.TarError, EOFError, ValueError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) and error.filename == str(file):
            raise
        raise Refused(f"{file} is not a backup of Callwright, or is damaged.") from None
    return manifest


def _check_version(manifest: dict[str, Any]) -> None:
    from callwright.control.errors import UnknownSchema
    from callwright.control.storage import schema

    try:
        schema.check(manifest.get("schema"))
    except UnknownSchema as error:
        raise Refused(error.message, error.remedy) from None


def _place_records(
    location: Any, scratch: Path, manifest: dict[str, Any], *, replace: bool, aside: Path
) -> None:
    """``aside``: where a dump of PostgreSQL's records of before is kept."""
    kind = "sqlite" if location.path else "postgresql"
    if manifest["database"] != kind:
        raise Refused(
            f"The backup is of {manifest['database']}, not of {kind}.", "Name the right --database for it."
        )
    if location.path is None:
        if _schema(location) is not None:
            if not replace:
                raise Refused("The database has records already.", "Say --replace to put the backup there.")
            _copy_records(location, aside)
        _replace_tables(location.url, scratch)
        return
    _put_aside(location.path)
    for ending in ("-wal", "-shm"):
        location.path.with_name(location.path.name + ending).unlink(missing_ok=True)
    os.replace(scratch / _SQLITE, location.path)
    os.chmod(location.path, 0o600)


@contextlib.contextmanager
def _no_platform(data: Path) -> Iterator[None]:
    """Holds the lock that `serve` holds while it runs; the kernel lets go of it when a process dies, however
    it dies. Raises Refused."""
    with open(data / "serve.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(
                f"a platform is running on {data}", "End `callwright serve` first.", code=EXIT_REFUSED
            ) from None
        yield


@contextlib.contextmanager
def _reserved(location: Any) -> Iterator[None]:
    """Nobody else works with these records, from whatever folder or machine. Raises Refused."""
    from callwright.control.storage.occupancy import Reservation

    with asyncio.Runner() as runner:
        with refusing():
            reservation = runner.run(Reservation.take(location))
        try:
            yield
        finally:
            runner.run(reservation.close())


def _refuse_to_replace(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise Refused(
                f"{path} is there already.", "Say --replace to put it aside, or name another --data."
            )


def _put_aside(path: Path) -> None:
    if not path.exists():
        return
    aside = path.with_name(path.name + ".before-restore")
    if aside.is_dir():
        shutil.rmtree(aside)
    if path.suffix == ".db":
        # What stands only in the write-ahead log would be lost.
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.replace(path, aside)
