"""`callwright keys create|list|revoke`: API keys, beside a running platform too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from callwright.cli.console import JsonFlag, VerboseFlag, print_json, show
from callwright.cli.records import DEFAULT_DATA, DatabaseOption, DataOption, print_table, when, with_services
from callwright.host.operator import EXIT_PASSED, Refused, say

if TYPE_CHECKING:
    from callwright.control.accounts.model import ApiKey, Made, User
    from callwright.control.services import Services

app = typer.Typer(
    help="API keys: create, list, revoke.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright keys create --name ci

  callwright keys create --name ci --user ana --project billing

  callwright keys create --name ci --data /var/lib/callwright --json | jq -r '.public_key + ":" + .secret'
"""


@app.callback()
def keys() -> None:
    """API keys for programs: a public key and a secret, used as Basic credentials."""


@app.command(epilog=_EXAMPLES)
def create(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What the key is for.")],
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="NAME", help="Whose rights it has (default: the first administrator)."
        ),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            "--project", metavar="NAME", help="Works in this project only, and administers nothing."
        ),
    ] = None,
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Make an API key. The secret is shown now and never again."""

    async def work(services: Services) -> tuple[str, str, User]:
        from callwright.control.accounts.model import PLATFORM

        owner = await _owner(services, user)
        where = await services.projects.get(PLATFORM, project) if project else None
        public, secret = await services.keys.create(name, owner, project=where)
        return public, secret, owner

    public, secret, owner = with_services(data, database, work)
    if as_json:
        made = {"name": name, "public_key": public, "secret": secret, "user": owner.username}
        print_json({**made, "project": project})
    else:
        show(f"public key  {public}\nsecret      {secret}")
        where = f" in the project {project} alone" if project else ""
        say(
            f"The key has the rights of {owner.username} ({owner.role}){where}. "
            "The secret is not shown again."
        )
    return EXIT_PASSED


@app.command("list")
def list_(
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """List every key, revoked ones included. Secrets are not known any more."""

    async def work(services: Services) -> list[ApiKey]:
        from callwright.control.accounts.model import PLATFORM

        return list(await services.keys.list(PLATFORM, of_everybody=True))

    found = with_services(data, database, work)
    if as_json:
        import msgspec

        print_json({"keys": [msgspec.structs.asdict(key) for key in found]})
    elif not found:
        show("There is no key yet. Make one: callwright keys create --name ci")
    else:
        print_table(
            ["id", "name", "public key", "user", "project", "last used", "state"],
            [
                [
                    str(key.id),
                    key.name,
                    key.public_key,
                    key.username,
                    key.project_name or "",
                    when(key.last_used_at),
                    "active" if key.revoked_at is None else f"revoked {when(key.revoked_at)}",
                ]
                for key in found
            ],
        )
    return EXIT_PASSED


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID|PUBLIC_KEY", help="As `keys list` shows it.")],
    with_made: Annotated[
        bool,
        typer.Option(
            "--with-made",
            help="Revoke what the key made too: keys, tokens, and agents.",
        ),
    ] = False,
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Revoke a key: it is refused from now on. What it made and what still works is listed."""

    async def work(services: Services) -> tuple[Sequence[Made], Sequence[Made]]:
        from callwright.control.accounts.model import PLATFORM

        known = int(key) if key.isascii() and key.isdigit() and len(key) < 19 else key
        also = await services.keys.revoke(PLATFORM, known, with_made=with_made)
        return also, await services.keys.made_by(PLATFORM, known)

    also, left = with_services(data, database, work)
    if as_json:
        print_json(
            {"revoked": key, "also": [_made(one) for one in also], "left": [_made(one) for one in left]}
        )
        return EXIT_PASSED
    show(f"revoked  {key}")
    for one in also:
        show(f"revoked  {one.kind} {one.id} ({one.name})")
    if left:
        listed = ", ".join(f"{one.kind} {one.id} ({one.name})" for one in left)
        say(f"What it made still works: {listed}. Revoke it too: callwright keys revoke {key} --with-made")
    return EXIT_PASSED


def _made(one: Made) -> dict[str, str]:
    return {"kind": one.kind, "id": one.id, "name": one.name}


async def _owner(services: Services, username: str | None) -> User:
    if username is not None:
        return await services.accounts.user_by_name(username)
    for user in await services.accounts.users():
        if user.role == "admin":
            return user
    raise Refused(
        "There is no user yet that a key could belong to.",
        "Make one: callwright users create NAME --role admin",
    )
