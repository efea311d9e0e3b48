"""Large documents are read beside the loop, one at a time, and not without end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from callwright.control.accounts.model import Identity
from callwright.control.errors import QuotaExceeded
from callwright.control.services import Services
from callwright.control.tests import service
from callwright.control.tests.reading import LARGE, WAITING, beside


async def test_the_loop_goes_on_while_a_large_document_is_read() -> None:
    done = threading.Event()
    reading = asyncio.ensure_future(beside(LARGE, lambda: done.wait(20)))
    await asyncio.sleep(0)
    done.set()  # nobody could, if the loop did the reading
    assert await reading


async def test_large_documents_are_read_one_at_a_time_and_few_may_wait() -> None:
    done, at_once, most = threading.Event(), [0], [0]

    def work() -> None:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        done.wait(20)
        at_once[0] -= 1

    waiting = [asyncio.ensure_future(beside(LARGE, work)) for _ in range(WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(QuotaExceeded):
        await beside(LARGE, work)
    patient = asyncio.ensure_future(beside(LARGE, work, most=0))
    assert await beside(LARGE - 1, lambda: "short") == "short"
    done.set()
    await asyncio.gather(*waiting, patient)
    assert most == [1]
    await beside(LARGE, work)


async def test_a_large_test_is_kept_without_holding_up_the_loop(
    services: Services, admin: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[threading.Thread] = []
    load = service.load  # type: ignore[attr-defined]

    def spying(*arguments: Any, **more: Any) -> Any:
        readers.append(threading.current_thread())
        return load(*arguments, **more)

    monkeypatch.setattr(service, "load", spying)
    text = "name: large\nsteps: [options: {to: pbx}]\n" + "# comment\n" * LARGE
    test = await services.tests.create(admin, text)
    await services.tests.update(admin, "large", document=text)
    await services.tests.parameters(test)
    assert len(readers) == 3
    assert threading.main_thread() not in readers
