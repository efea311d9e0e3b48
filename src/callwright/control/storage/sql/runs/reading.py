"""The statements that read runs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Double, Select, and_, case, func, literal, or_, select

from callwright.control.runs.model import Given, StoredDetail
from callwright.control.runs.transitions import Phase
from callwright.control.storage.sql.agents import pools
from callwright.control.storage.sql.database import Statement, param
from callwright.control.storage.sql.projects import projects
from callwright.control.storage.sql.runs.tables import (
    LIVE,
    RUN,
    among,
    run_details,
    run_tags,
    run_words,
    runs,
)
from callwright.control.storage.sql.tests import test_versions
from callwright.control.storage.sql.writing import columns, contains, in_projects

BY_SESSION = Statement(select(*RUN).where(runs.c.session_id == param("session_id")), brief=True)
BY_ID = Statement(select(*RUN).where(runs.c.id == param("id")), brief=True)
_KEPT_ELSEWHERE = {"document": test_versions.c.document, "max_seconds": runs.c.max_seconds}
OF_GROUP = Statement(select(*RUN).where(runs.c.group_id == param("group_id")).order_by(runs.c.id))
DETAIL = Statement(
    select(
        *(
            _KEPT_ELSEWHERE[name] if name in _KEPT_ELSEWHERE else run_details.c[name]
            for name in StoredDetail.__struct_fields__
        )
    )
    .join(runs, runs.c.id == run_details.c.run_id)
    .join(
        test_versions,
        and_(
            test_versions.c.test_id == runs.c.test_id,
            test_versions.c.version == run_details.c.test_version,
        ),
    )
    .where(run_details.c.run_id == param("run_id"))
)
GIVEN = Statement(
    select(*columns(run_details, Given)).where(run_details.c.run_id == param("run_id")), brief=True
)
AGED = Statement(
    select(runs.c.id, runs.c.session_id)
    .join(projects, projects.c.id == runs.c.project_id)
    .where(
        runs.c.status != literal("running"),
        runs.c.created_at < param("now", Double()) - projects.c.keep_runs_days * literal(86_400),
    )
    .limit(param("limit"))
)
ALL_LIVE = Statement(select(*RUN).where(LIVE).order_by(runs.c.id))
_ALIKE = (runs.c.pool, runs.c.project_id, runs.c.phase, runs.c.agent_id)
DEMANDS = Statement(
    select(*_ALIKE, func.count(), func.sum(runs.c.weight), func.min(runs.c.created_at))
    .where(LIVE)
    .group_by(*_ALIKE)
    .order_by(*_ALIKE)
)
COUNT_LIVE = Statement(select(func.count()).select_from(runs).where(LIVE))
_ALSO = runs.alias("live")
#: By way of the runs that live, which are few: SQLite would rather read all that a project ever had.
_AMONG_LIVE = runs.c.id.in_(select(_ALSO.c.id).where(_ALSO.c.status == literal("running")))
COUNT_QUEUED = Statement(
    select(func.count())
    .select_from(runs)
    .where(_AMONG_LIVE, runs.c.phase == literal(Phase.QUEUED.value), runs.c.project_id == param("project_id"))
)
COUNT_HELD = Statement(
    select(func.count())
    .select_from(runs)
    .where(
        _AMONG_LIVE,
        among((Phase.STARTING, Phase.RUNNING)),
        runs.c.project_id == param("project_id"),
    )
)
POOL_OWNER = Statement(select(pools.c.project_id).where(pools.c.name == param("pool")))
_WAITS = runs.c.phase == literal(Phase.QUEUED.value)
SHARES = Statement(
    select(
        runs.c.project_id,
        func.sum(case((_WAITS, 1), else_=0)),
        func.sum(case((and_(_WAITS, runs.c.id < param("run_id")), 1), else_=0)),
        func.sum(case((_WAITS, 0), else_=1)),
    )
    .where(_AMONG_LIVE, runs.c.pool == param("pool"))
    .group_by(runs.c.project_id)
    .order_by(runs.c.project_id)
)
_LAST_OF_POOL = (
    select((runs.c.stopped_at - runs.c.started_at).label("seconds"))
    .where(runs.c.pool == param("pool"), runs.c.stopped_at.is_not(None), runs.c.started_at.is_not(None))
    .order_by(runs.c.id.desc())
    .limit(literal(50))
    .subquery()
)
LASTED = Statement(select(func.avg(_LAST_OF_POOL.c.seconds)))
JUDGED_BEFORE = Statement(
    select(runs.c.phase)
    .where(
        runs.c.test_id == param("test_id"),
        runs.c.project_id == param("project_id"),
        runs.c.id < param("before"),
        among((Phase.PASSED, Phase.FAILED)),
    )
    .order_by(runs.c.id.desc())
    .limit(param("limit"))
)
_THIS_RUN = run_details.alias("this_run")
#: A run that was told otherwise says little of one that was not; one that was told the same says most.
PREVIOUS_PASS = Statement(
    select(*RUN)
    .join(run_details, run_details.c.run_id == runs.c.id)
    .where(
        or_(
            run_details.c.sealed_overrides == "",
            run_details.c.shown
            == select(_THIS_RUN.c.shown).where(_THIS_RUN.c.run_id == param("before")).scalar_subquery(),
        ),
        runs.c.test_id == param("test_id"),
        runs.c.project_id == param("project_id"),  # a test may have moved: what it did elsewhere stays there
        runs.c.id < param("before"),
        runs.c.phase == Phase.PASSED.value,
    )
    .order_by(runs.c.id.desc())
    .limit(1)
)
COUNTS = Statement(
    select(runs.c.project_id, func.count())
    .where(runs.c.created_at >= param("since"))
    .group_by(runs.c.project_id)
)
_FILTERS: dict[str, Any] = {
    "phase": runs.c.phase == param("phase"),
    "project_id": runs.c.project_id == param("project_id"),
    "test_id": runs.c.test_id == param("test_id"),
    "test_name": runs.c.test_name == param("test_name"),
    "pool": runs.c.pool == param("pool"),
    "blame": runs.c.blame == param("blame"),
    "tag": run_tags.c.tag == param("tag"),
    "search": or_(
        contains(runs.c.test_name, "search"),
        contains(runs.c.result_description, "search"),
        runs.c.id.in_(
            select(run_words.c.run_id).where(
                or_(run_words.c.word == param("word"), run_words.c.word == param("digits"))
            )
        ),
    ),
    "agent_id": runs.c.agent_id == param("agent_id"),
    "since": runs.c.created_at >= param("since"),
    "until": runs.c.created_at < param("until"),
    "status": runs.c.status == param("status"),
}
#: Each with an index in the order of the list: the newest rows are found at once, and are in memory.
_IN_ORDER = frozenset(("status", "phase", "project_id", "test_id", "test_name"))


@lru_cache(maxsize=512)
def page_statement(filters: frozenset[str], projects_seen: int | None = None) -> Statement:
    """The list with these filters, newest first; ``limit`` is a parameter. ``projects_seen``: how many
    projects it is limited to."""
    query, newest = select(*RUN), runs.c.id
    if "tag" in filters:  # in the order of the tag's own index
        query, newest = query.join(run_tags, run_tags.c.run_id == runs.c.id), run_tags.c.run_id
    chosen = [newest < param("before") if name == "before" else _FILTERS[name] for name in sorted(filters)]
    if projects_seen is not None:
        chosen.append(in_projects(runs.c.project_id, projects_seen))
    narrowed = [*filters, *(["project_id"] if projects_seen == 1 else ["projects"] if projects_seen else [])]
    brief = not narrowed or (len(narrowed) == 1 and narrowed[0] in _IN_ORDER)
    return Statement(query.where(*chosen).order_by(newest.desc()).limit(param("limit")), brief=brief)


@lru_cache(maxsize=16)
def history(projects_seen: int | None) -> Statement:
    start = func.floor(runs.c.created_at / param("seconds", runs.c.created_at.type))
    query: Select[Any] = select(
        (start * param("seconds", runs.c.created_at.type)).label("start"),
        runs.c.phase,
        func.count(),
        func.avg(runs.c.mos),
    ).where(runs.c.created_at >= param("since"))
    if projects_seen is not None:
        query = query.where(in_projects(runs.c.project_id, projects_seen))
    return Statement(query.group_by("start", runs.c.phase).order_by("start"))
