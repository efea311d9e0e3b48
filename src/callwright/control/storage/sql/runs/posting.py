"""The statements that make runs, each known by its Idempotency-Key for a day."""

from __future__ import annotations

from sqlalchemy import delete, select, update

from callwright.control.runs.model import NewRun
from callwright.control.storage.sql.database import Statement, param
from callwright.control.storage.sql.runs.tables import RUN, idempotency, run_details, run_tags, runs
from callwright.control.storage.sql.writing import inserting, upsert

BORN = [name for name in NewRun.__struct_fields__ if name in runs.c]
ADD = Statement(inserting(runs, [*BORN, "phase", "attempt"]).returning(*RUN))
ADD_DETAIL = Statement(inserting(run_details, ["run_id", "test_version", "sealed_overrides", "shown"]))
ADD_TAG = Statement(inserting(run_tags, ["tag", "run_id"]))
KEEP_KEY = upsert(
    idempotency, ("user_id", "key"), ("user_id", "key", "fingerprint", "run_ids", "created_at"), keep=True
)
FILL_KEY = Statement(
    update(idempotency)
    .where(idempotency.c.user_id == param("user_id"), idempotency.c.key == param("key"))
    .values(run_ids=param("run_ids"))
)
KEY = Statement(
    select(idempotency.c.fingerprint, idempotency.c.run_ids).where(
        idempotency.c.user_id == param("user_id"), idempotency.c.key == param("key")
    )
)
FORGET_KEYS = Statement(delete(idempotency).where(idempotency.c.created_at < param("before")))
