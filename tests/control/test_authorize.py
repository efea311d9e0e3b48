"""Who may do what, by table: each right, each role, in the project, in another, and in none."""

from __future__ import annotations

import itertools

import pytest

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Right, Role, identity_of
from callwright.control.errors import Forbidden, NotFound
from callwright.control.projects.model import Membership

HERE, ELSEWHERE = 1, 2

#: Of projects; to call is a right of the account.
RIGHTS = [right for right in Right if right is not Right.CALL]

#: What each role may in a project that it is a member of; administrators are members of none and may all.
IN_PROJECT = {
    Role.VIEWER: {Right.READ},
    Role.RUNNER: {Right.READ, Right.RUN},
    Role.MEMBER: {Right.READ, Right.RUN, Right.EDIT, Right.CREDENTIALS},
}


@pytest.mark.parametrize(("account", "there"), [*itertools.product(IN_PROJECT, IN_PROJECT)])
@pytest.mark.parametrize("right", RIGHTS)
def test_a_member_may_what_both_the_account_and_the_role_in_the_project_permit(
    account: Role, there: Role, right: Right
) -> None:
    kim = identity_of(7, "kim", account, [Membership(7, "kim", HERE, "office", there, 0.0)])
    permitted = right in IN_PROJECT[account] & IN_PROJECT[there]
    assert may(kim, right, HERE) == permitted
    assert may(kim, right) == permitted
    assert not may(kim, right, ELSEWHERE)


@pytest.mark.parametrize("right", Right)
def test_an_administrator_may_everything_everywhere(right: Right) -> None:
    ana = identity_of(1, "ana", Role.ADMIN)
    assert all(may(ana, right, where) for where in (None, HERE, ELSEWHERE))


@pytest.mark.parametrize("right", RIGHTS)
def test_an_administrators_key_for_one_project_is_a_members_there(right: Right) -> None:
    key = identity_of(1, "ana", Role.ADMIN, only_project=HERE)
    assert may(key, right, HERE) == (right in IN_PROJECT[Role.MEMBER])
    assert not may(key, right, ELSEWHERE)


@pytest.mark.parametrize("account", IN_PROJECT)
@pytest.mark.parametrize("right", Right)
def test_a_stranger_sees_nothing_of_a_project(account: Role, right: Right) -> None:
    eve = identity_of(9, "eve", account)
    assert not may(eve, right, HERE)
    with pytest.raises(NotFound):
        authorize(eve, right, HERE, unseen=NotFound("run", "x"))


@pytest.mark.parametrize(
    ("account", "there", "message"),
    [
        ("viewer", "member", "The role viewer of kim does not permit this; it needs the right edit."),
        ("member", "viewer", "The role member of kim does not permit this; it needs the right edit."),
    ],
)
def test_a_refusal_names_the_role_and_the_right(account: str, there: str, message: str) -> None:
    kim = identity_of(7, "kim", account, [Membership(7, "kim", HERE, "office", there, 0.0)])
    with pytest.raises(Forbidden) as caught:
        authorize(kim, Right.EDIT, HERE)
    assert caught.value.message == message


def test_a_refusal_in_one_project_of_several_says_that_it_is_of_this_one() -> None:
    roles = [(HERE, "office", "viewer"), (ELSEWHERE, "lab", "member")]
    kim = identity_of(7, "kim", "member", [Membership(7, "kim", *one, 0.0) for one in roles])
    authorize(kim, Right.EDIT, ELSEWHERE)
    with pytest.raises(Forbidden, match="The role viewer of kim in this project does not permit this"):
        authorize(kim, Right.EDIT, HERE, unseen=NotFound("test", "x"))
