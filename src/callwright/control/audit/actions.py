"""Every action that the audit log knows, as a table: the services, the tests and the docs read it."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ACTIONS", "render_markdown"]

ACTIONS: Mapping[str, str] = {
    "login.succeeded": "Somebody signed in with a password.",
    "login.failed": "A password, a code or the secret of an API key was wrong, or its owner is unknown.",
    "user.created": "An administrator added a user.",
    "user.changed": "An administrator changed a user; the detail names the fields.",
    "user.deleted": "An administrator removed a user.",
    "user.restored": "An administrator took back the deletion of a user.",
    "user.password": "A password was set; every session of the user ended.",
    "twofactor.on": "A user turned two-factor sign-in on.",
    "twofactor.off": "Two-factor sign-in of a user was turned off.",
    "twofactor.codes": "A user made new recovery codes; the ones before are void.",
    "cdr.imported": "Call detail records of another system were read in; the detail names it.",
    "cdr.rated": "Call detail records were given their rate and charge anew.",
    "rates.replaced": "The table of prefixes and rates was replaced.",
    "cdr.deleted": "Call detail records were deleted.",
    "line.changed": "The line of a user was changed; the detail names the fields.",
    "member.put": "A user joined a project, or their role there changed.",
    "member.removed": "A user left a project.",
    "key.created": "An API key was made; the detail names its owner.",
    "key.revoked": "An API key was revoked, alone or with what it had made.",
    "token.created": "An API token was made.",
    "token.revealed": "The owner of an API token looked at it again, after confirming the password.",
    "token.revoked": "An API token was revoked.",
    "credential.created": "A SIP account was added.",
    "credential.changed": "A SIP account was changed.",
    "credential.deleted": "A SIP account was removed.",
    "project.created": "A project was made.",
    "project.changed": "The limits of a project were changed.",
    "test.created": "A test was added.",
    "test.changed": "A test got a new version, another name or another project.",
    "test.deleted": "A test was removed; its runs stay.",
    "run.started": "A run was queued.",
    "run.stopped": "Somebody stopped a run.",
    "kiosk.shared": "A run got a public link, or its link expiry was updated.",
    "kiosk.revoked": "A public link was revoked.",
    "target.added": "An administrator permitted a destination.",
    "target.removed": "An administrator withdrew the permission of a destination.",
    "kill.engaged": "The kill switch was engaged.",
    "kill.released": "The kill switch was released.",
    "pool.created": "A pool of agents was made.",
    "pool.changed": "A pool was given to a project, or to all projects.",
    "pool.deleted": "A pool was removed.",
    "agent.enrolment": "A token for the enrolment of an agent was made.",
    "agent.enrolled": "An agent enrolled with a token.",
    "enrolment.revoked": "The token for an agent was revoked, together with the key that had made it.",
    "agent.drain": "An agent was drained: it takes no new runs.",
    "agent.resume": "A drained agent takes runs again.",
    "agent.revoke": "An agent was revoked: it is cut off until it enrols again.",
    "agent.restore": "A revoked or drained agent works again, with the credentials that it had.",
    "server.created": "Somebody asked for a server of a pool.",
    "server.changed": "The name, the address or the description of a server was changed.",
    "server.deleted": "A server was deleted: it takes no new work, and ends when it has none.",
    "server.recovered": "A server that somebody had enrolled and deleted is recovered.",
    "endpoint.created": "Somebody registered an endpoint to be monitored.",
    "endpoint.changed": "An endpoint or one of its VoIP tests was changed; the detail says what.",
    "endpoint.deleted": "An endpoint was cancelled: it is tested no more, and its history stays.",
    "endpoint.recovered": "A cancelled endpoint is tested again.",
    "alert.created": "Somebody made an alert; the detail is its condition.",
    "alert.changed": "An alert was changed or snoozed; the detail is its condition.",
    "alert.deleted": "An alert was cancelled.",
    "alert.recovered": "A cancelled alert watches again.",
    "incident.acknowledged": "Somebody acknowledged an incident: its reminders stop.",
    "channel.created": "A channel for notifications, or a webhook for calls, was made.",
    "channel.changed": "A channel was changed or paused, or got a new secret; the detail names the fields.",
    "channel.deleted": "A channel was removed, with its messages.",
    "channel.tried": "A test message was sent, or a message that had been given up was sent again.",
    "status_page.created": "Endpoints were published on a status page.",
    "status_page.changed": "A status page was changed, or got a new link; the old one opens nothing.",
    "status_page.deleted": "A status page was deleted: its link opens nothing.",
    "fleet.paused": "The fleet was paused: servers are neither made nor ended.",
    "fleet.resumed": "The fleet works again.",
    "fleet.pool": "The servers that a pool may have were changed; the detail names the fields.",
}


def render_markdown() -> str:
    """The table as a page of documentation, in Markdown."""
    lines = ["# The audit log", ""]
    lines += [
        "Made from the table in `callwright/control/audit/actions.py`. An entry is written in the",
        "transaction of its change: if the entry cannot be written, the change is not made. Each entry has",
        "the time, the user, the API key that was used, the action, its object, and a detail without",
        "secrets.",
        "",
        "| action | what happened |",
        "|---|---|",
    ]
    lines += [f"| `{action}` | {meaning} |" for action, meaning in ACTIONS.items()]
    return "\n".join([*lines, ""])
