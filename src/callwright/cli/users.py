"""`callwright users create|list|join|leave|password|no-2fa|role|delete`: who may log in, and where."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from callwright.cli.console import JsonFlag, VerboseFlag, print_json, show
from callwright.cli.records import DEFAULT_DATA, DatabaseOption, DataOption, print_table, when, with_services
from callwright.host.operator import EXIT_PASSED, Refused, say

if TYPE_CHECKING:
    from callwright.control.accounts.model import User
    from callwright.control.services import Services

app = typer.Typer(
    help="Users of the platform: create, list, change, delete.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright users create ana --email ana@example.com

  callwright users create ci --role runner --category API --password-file ci.password

  callwright users create bob --project billing --project fax

  callwright users join bob support --role viewer

  callwright users password ana
"""

UserArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user name.")]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        "--password-file", metavar="FILE|-", help="Take the password from here; without it one is made."
    ),
]


@app.callback()
def users() -> None:
    """Users of the platform: viewer, runner (what CI needs), member or admin; each in some projects."""


@app.command(epilog=_EXAMPLES)
def create(
    name: UserArgument,
    email: Annotated[str, typer.Option("--email", metavar="ADDRESS", help="May be used to log in.")] = "",
    full_name: Annotated[str, typer.Option("--full-name", metavar="TEXT")] = "",
    role: Annotated[str, typer.Option("--role", help="viewer, runner, member or admin.")] = "member",
    category: Annotated[
        str | None,
        typer.Option(
            "--category",
            help="Admin, Normal, or API (the password works as Basic); that of the role if absent.",
        ),
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option("--project", metavar="NAME", help="A member of this project; may be repeated."),
    ] = None,
    password_file: PasswordFile = None,
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Make a user. A password that is made here is shown now and never again."""
    password, made = _password(password_file)

    async def work(services: Services) -> User:
        from callwright.control.accounts.model import PLATFORM

        projects = [await services.projects.get(PLATFORM, one) for one in project or ()]
        user = await services.accounts.create_user(
            PLATFORM,
            username=name,
            password=password,
            email=email,
            name=full_name,
            role=role,
            category=category,
        )
        for one in projects:
            await services.projects.put_member(PLATFORM, user, one, role)
        return user

    user = with_services(data, database, work, create=True)
    _show(user, password if made else None, as_json, project or [])
    if not project and user.role != "admin":
        say(f"{name} is in no project and sees nothing: callwright users join {name} PROJECT")
    return EXIT_PASSED


@app.command()
def join(
    name: UserArgument,
    project: Annotated[str, typer.Argument(metavar="PROJECT")],
    role: Annotated[str, typer.Option("--role", help="There: viewer, runner or member.")] = "member",
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Make a user a member of a project, or give a member another role there."""

    async def work(services: Services) -> None:
        from callwright.control.accounts.model import PLATFORM

        user = await services.accounts.user_by_name(name)
        where = await services.projects.get(PLATFORM, project)
        await services.projects.put_member(PLATFORM, user, where, role)

    with_services(data, database, work)
    if as_json:
        print_json({"username": name, "project": project, "role": role})
    else:
        show(f"{name} is {role} of {project}")
    return EXIT_PASSED


@app.command()
def leave(
    name: UserArgument,
    project: Annotated[str, typer.Argument(metavar="PROJECT")],
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Take a user out of a project; keys of the user see it no more either."""

    async def work(services: Services) -> None:
        from callwright.control.accounts.model import PLATFORM

        user = await services.accounts.user_by_name(name)
        where = await services.projects.get(PLATFORM, project)
        await services.projects.remove_member(PLATFORM, user, where)

    with_services(data, database, work)
    if as_json:
        print_json({"username": name, "left": project})
    else:
        show(f"{name} is no longer a member of {project}")
    return EXIT_PASSED


@app.command("list")
def list_(
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """List the users."""

    async def work(services: Services) -> tuple[list[User], dict[int, dict[str, str]]]:
        from callwright.control.accounts.model import PLATFORM

        belongs: dict[int, dict[str, str]] = {}
        for one in await services.projects.members(PLATFORM):
            belongs.setdefault(one.user_id, {})[one.project_name] = one.role
        return list(await services.accounts.users()), belongs

    found, belongs = with_services(data, database, work)
    if as_json:
        import msgspec

        print_json(
            {
                "users": [
                    msgspec.structs.asdict(user) | {"projects": belongs.get(user.id, {})} for user in found
                ]
            }
        )
    elif not found:
        show("There is no user yet. Make one: callwright users create NAME --role admin")
    else:
        print_table(
            ["id", "name", "email", "role", "category", "projects", "last login"],
            [
                [
                    str(user.id),
                    user.username,
                    user.email,
                    user.role,
                    user.category,
                    _projects(user, belongs.get(user.id, {})),
                    when(user.last_login_at),
                ]
                for user in found
            ],
        )
    return EXIT_PASSED


@app.command()
def password(
    name: UserArgument,
    password_file: PasswordFile = None,
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Give a user another password; all sessions of the user end."""
    secret, made = _password(password_file)

    async def work(services: Services) -> User:
        from callwright.control.accounts.model import PLATFORM

        user = await services.accounts.user_by_name(name)
        await services.accounts.set_password(PLATFORM, user.id, secret)
        return user

    user = with_services(data, database, work)
    _show(user, secret if made else None, as_json)
    return EXIT_PASSED


@app.command("no-2fa")
def no_second_factor(
    name: UserArgument,
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Turn two-factor sign-in of a user off, who has lost the application and the recovery codes."""

    async def work(services: Services) -> bool:
        from callwright.control.accounts.model import PLATFORM

        return await services.second_factors.remove(PLATFORM, await services.accounts.user_by_name(name))

    there = with_services(data, database, work)
    if as_json:
        print_json({"username": name, "removed": there})
    else:
        show(f"{name} signs in with the password alone" + ("" if there else ", as before"))
    return EXIT_PASSED


@app.command()
def role(
    name: UserArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, runner, member or admin.")],
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Give a user another role."""

    async def work(services: Services) -> User:
        from callwright.control.accounts.model import PLATFORM

        user = await services.accounts.user_by_name(name)
        return await services.accounts.change_user(PLATFORM, user.id, role=role)

    _show(with_services(data, database, work), None, as_json)
    return EXIT_PASSED


@app.command()
def delete(
    name: UserArgument,
    data: DataOption = DEFAULT_DATA,
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Delete a user: keys, tokens and sessions of the user are refused from now on."""

    async def work(services: Services) -> None:
        from callwright.control.accounts.model import PLATFORM

        user = await services.accounts.user_by_name(name)
        await services.accounts.delete_user(PLATFORM, user.id)

    with_services(data, database, work)
    if as_json:
        print_json({"deleted": name})
    else:
        show(f"deleted  {name}")
    return EXIT_PASSED


def _password(file: str | None) -> tuple[str, bool]:
    """(password, whether it was made here). Never an argument, which other users of the machine could see."""
    if file is None:
        return os.urandom(15).hex(), True
    try:
        if file == "-":
            return sys.stdin.readline().rstrip("\r\n"), False
        with open(file, encoding="utf-8") as handle:
            return handle.readline().rstrip("\r\n"), False
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"--password-file {file} cannot be read: {error}") from None


def _projects(user: User, belongs: dict[str, str]) -> str:
    """ "billing, fax: viewer"."""
    if user.role == "admin":
        return "all"
    return ", ".join(name if role == user.role else f"{name}: {role}" for name, role in belongs.items())


def _show(user: User, password: str | None, as_json: bool, projects: Sequence[str] | None = None) -> None:
    if as_json:
        document = {"id": user.id, "username": user.username, "email": user.email, "role": user.role}
        more = {} if projects is None else {"projects": list(projects)}
        print_json(document | more | ({"password": password} if password else {}))
        return
    show(f"user      {user.username} ({user.role})")
    if password is not None:
        show(f"password  {password}")
        say("The password is not shown again.")
