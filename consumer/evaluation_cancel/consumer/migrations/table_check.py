"""Looks at the real table of evaluations and says what of it does not fit the setting EVALUATIONS_TABLE.

Columns and their types, the words of the status in use, the guards, and the rights of logins. Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from evaluation_cancel.consumer.migrations.guards import GUARD_NAMES
from evaluation_cancel.consumer.migrations.mapping import EvaluationsTable

TABLE: Final = "SELECT to_regclass($1)::oid AS oid"
KIND: Final = "SELECT relkind::text FROM pg_class WHERE oid = $1"
COLUMNS: Final = """
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type, t.typtype::text AS kind, t.oid AS type_oid
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
"""
LABELS: Final = "SELECT enumlabel FROM pg_enum WHERE enumtypid = $1 ORDER BY enumsortorder"
TRIGGERS: Final = """
SELECT tgname AS name, tgrelid::regclass::text AS guarded, tgrelid = $2 AS ours, tgenabled::text AS enabled
FROM pg_trigger WHERE tgname = ANY ($1) AND tgparentid = 0
"""
MEANINGS: Final = "SELECT w AS word, evaluation_cancel.status_of(w) AS status FROM unnest($1::text[]) w"
ROLE: Final = "SELECT count(*) FROM pg_roles WHERE rolname = $1"
LACKING: Final = """
SELECT 'USAGE on the schema evaluation_cancel' AS lacking
WHERE NOT has_schema_privilege($1::name, 'evaluation_cancel', 'USAGE')
UNION ALL
SELECT p || ' on ' || $3::text FROM unnest(ARRAY['SELECT', 'UPDATE']) p
WHERE NOT has_table_privilege($1::name, $2::oid, p)
UNION ALL
SELECT string_agg(p, ', ' ORDER BY place) || ' on evaluation_cancel.' || c.relname
FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS all_four (p, place)
WHERE c.relnamespace = 'evaluation_cancel'::regnamespace AND c.relkind = 'r' AND c.oid <> $2::oid
    AND NOT has_table_privilege($1::name, c.oid, p)
GROUP BY c.relname
"""
_TABLE_KINDS: Final = ("r", "p")
_STATUS_TYPES: Final = ("text", "character varying", "character", "citext")
_SHOWN: Final = 20
_FIRING: Final = ("O", "A")
"""States of a trigger that fires for ordinary sessions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFindings:
    """Sentences on what does not fit, each with what was seen."""

    unfit: Sequence[str] = ()
    """The functions cannot be made for such a table."""
    unmapped: Sequence[str] = ()
    """Words without a meaning: commands for their evaluations are rejected."""


async def table_problems(connection: Any, mapping: EvaluationsTable) -> TableFindings:
    """Compares the table with the mapping. Raises the driver's error."""
    oid = await connection.fetchval(TABLE, mapping.quoted)
    if oid is None:
        missing = [f"table: {mapping.table} does not exist, or the login may not see it"]
        return TableFindings(unfit=() if mapping.is_our_own else missing)
    kind = await connection.fetchval(KIND, oid)
    if kind not in _TABLE_KINDS:
        return TableFindings(
            unfit=[f"table: {mapping.table} is no table (its relkind is {kind!r}); views take no row triggers"]
        )
    columns = {row["name"]: row for row in await connection.fetch(COLUMNS, oid)}
    unfit = _columns(mapping, columns)
    status = columns.get(mapping.status)
    if status is None:
        return TableFindings(unfit=unfit)
    words = [row["enumlabel"] for row in await connection.fetch(LABELS, status["type_oid"])]
    unfit += _labels(mapping, words) if status["kind"] == "e" else []
    return TableFindings(unfit=unfit, unmapped=_unmapped(mapping, words or await _words_in_use(connection, mapping)))


async def guard_problems(connection: Any, mapping: EvaluationsTable) -> list[str]:
    """What an upgrade with this mapping would change: guards that are missing or elsewhere, and meanings of words."""
    oid = await connection.fetchval(TABLE, mapping.quoted)
    guards = await connection.fetch(TRIGGERS, list(GUARD_NAMES), oid)
    firing = {row["name"] for row in guards if row["ours"] and row["enabled"] in _FIRING}
    found = [
        f"{mapping.table}: the trigger {name} is not there or disabled" for name in GUARD_NAMES if name not in firing
    ]
    found += [f"{row['guarded']}: still has the trigger {row['name']}" for row in guards if not row["ours"]]
    wanted = {word: status for status, words in mapping.statuses.items() for word in words}
    told = {row["word"]: row["status"] for row in await connection.fetch(MEANINGS, list(wanted))}
    found += [
        f"statuses: {word!r} means {told[word]} to the database, and {status} in the settings"
        for word, status in wanted.items()
        if told[word] != status
    ]
    return [f"{each}; run `migrate upgrade`" for each in found]


async def right_problems(connection: Any, mapping: EvaluationsTable, logins: Sequence[str]) -> list[str]:
    """The rights that these logins lack for running the consumer."""
    oid = await connection.fetchval(TABLE, mapping.quoted)
    found = []
    for login in logins:
        if not await connection.fetchval(ROLE, login):
            found.append(f"{login}: there is no such role")
            continue
        lacking = await connection.fetch(LACKING, login, oid, mapping.table)
        found += [f"{login}: lacks {row['lacking']}" for row in lacking]
    return found


def _columns(mapping: EvaluationsTable, columns: Mapping[str, Any]) -> list[str]:
    found = []
    for field in mapping.columns():
        name = getattr(mapping, field)
        if name not in columns:
            found.append(f"{field}: {mapping.table} has no column {name!r}; it has {', '.join(sorted(columns))}")
    wanted = {"id": ("uuid",), "ended_at": ("timestamp with time zone",), "status": _STATUS_TYPES}
    for field, types in wanted.items():
        column = columns.get(getattr(mapping, field))
        if column is None or column["type"] in types or (field == "status" and column["kind"] == "e"):
            continue
        or_enum = " or an enum" if field == "status" else ""
        found.append(f"{field}: the column {column['name']!r} is {column['type']}; needed is {types[0]}{or_enum}")
    return found


def _labels(mapping: EvaluationsTable, labels: Sequence[str]) -> list[str]:
    """Words that the service would write and the enum does not have."""
    return [
        f"statuses: the enum of {mapping.status!r} has no {words[0]!r} for {status}; it has {', '.join(labels)}"
        for status, words in mapping.statuses.items()
        if words[0] not in labels
    ]


async def _words_in_use(connection: Any, mapping: EvaluationsTable) -> list[str]:
    distinct = f'SELECT DISTINCT e."{mapping.status}"::text AS word FROM {mapping.quoted} e'  # checked
    rows = await connection.fetch(distinct)
    return sorted(row["word"] for row in rows if row["word"] is not None)


def _unmapped(mapping: EvaluationsTable, words: Sequence[str]) -> list[str]:
    mapped = {word for words in mapping.statuses.values() for word in words} | set(mapping.ignored_statuses)
    unknown = [repr(word) for word in words if word not in mapped]
    if not unknown:
        return []
    shown = ", ".join(unknown[:_SHOWN]) + (f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else "")
    return [f"statuses: no meaning is given for {shown}; add each to a status or to ignored_statuses"]
