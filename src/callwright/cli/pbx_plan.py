"""The plan of `callwright pbx`: its file read, checked and explained, and read anew by a PBX that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from callwright.cli.console import show
from callwright.host.operator import Refused

if TYPE_CHECKING:
    from callwright.pbx.accounts import PbxAccount
    from callwright.pbx.plan import PbxPlan


def read(file: Path) -> PbxPlan:
    """The plan of a file. Raises Refused with the file and the place."""
    from callwright.pbx.plan_file import PlanError, read_plan

    try:
        return read_plan(file.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, PlanError) as error:
        raise Refused(f"{file}: {error}") from None


def check(file: Path) -> list[str]:
    """What is wrong with a plan that can be read, a sentence each."""
    return read(file).problems()


def show_check(file: Path, problems: list[str]) -> None:
    """For a person."""
    for problem in problems:
        show(problem)
    if not problems:
        plan = read(file)
        show(f"{file}: {len(plan.accounts)} accounts, {len(list(plan.services))} other numbers, no problem")


def account(text: str) -> PbxAccount:
    """An account as --account has it. Raises Refused."""
    from callwright.pbx.accounts import PbxAccount

    user, colon, secret = text.partition(":")
    if not user or not colon or not secret:
        raise Refused("--account takes USER:SECRET", "For example: --account 1001:secret")
    return PbxAccount(user, secret)


def read_accounts(file: Path) -> list[PbxAccount]:
    """Accounts of a YAML or CSV file; raises Refused with the file and the line where that is known."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"--accounts {file}: {error}") from None
    if file.suffix.lower() in (".yaml", ".yml", ".json"):
        return _accounts_of_yaml(file, text)
    return _accounts_of_csv(file, text)


def _accounts_of_yaml(file: Path, text: str) -> list[PbxAccount]:
    import yaml

    from callwright.pbx.accounts import PbxAccount

    try:
        # BaseLoader reads every scalar as text: 0043123 stays itself, and so does the secret `no`.
        document = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise Refused(f"--accounts {file}: {error}") from None
    if not isinstance(document, dict):
        raise Refused(
            f"--accounts {file}: a mapping of user to secret is needed", "For example: 1001: secret"
        )
    found: list[PbxAccount] = []
    for user, wanted in document.items():
        fields = {"secret": wanted} if isinstance(wanted, str) else wanted
        if not isinstance(fields, dict) or not fields.get("secret"):
            raise Refused(f"--accounts {file}: {user} has no secret")
        unknown = set(fields) - {"secret", "display_name"}
        if unknown:
            raise Refused(f"--accounts {file}: {user}: {sorted(unknown)[0]!r} is not known")
        found.append(PbxAccount(str(user), str(fields["secret"]), str(fields.get("display_name", ""))))
    return found


def _accounts_of_csv(file: Path, text: str) -> list[PbxAccount]:
    import csv

    from callwright.pbx.accounts import PbxAccount

    found: list[PbxAccount] = []
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#") or (number == 1 and cells[:2] == ["user", "secret"]):
            continue
        if not 2 <= len(cells) <= 3 or not cells[0] or not cells[1]:
            raise Refused(f"--accounts {file}: line {number} is not user,secret or user,secret,display_name")
        found.append(PbxAccount(cells[0], cells[1], cells[2] if len(cells) > 2 else ""))
    return found
