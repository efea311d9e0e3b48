"""What a URL of Apprise means. Nothing is sent from here."""

from __future__ import annotations

import asyncio

from callwright.control.errors import Invalid

__all__ = ["recognise"]

#: Services that show something on this machine's screen, or write to its log.
_LOCAL = frozenset(
    {"dbus", "glib", "gnome", "growl", "kde", "macosx", "qt", "syslog", "windows", "file", "exec"}
)
_EXAMPLE = "For example: mailto://user:password@example.com; Apprise has a URL for each service."


async def recognise(url: str) -> str:
    """The service, such as Slack. Raises Invalid, without the URL, which holds secrets."""
    scheme = url.partition(":")[0].lower()
    if scheme in _LOCAL:
        raise Invalid(f"{scheme}:// tells only this machine.", "Choose a service of a network.", field="url")
    found = await asyncio.to_thread(_service, url)
    if found is None:
        raise Invalid("Apprise cannot read this URL.", _EXAMPLE, field="url")
    return found


def _service(url: str) -> str | None:
    import logging

    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it writes of URLs, which hold secrets
    try:
        plugin = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    except Exception:  # of a service's own parser
        return None
    return None if plugin is None else str(plugin.service_name)[:100]
