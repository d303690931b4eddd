"""The command `verify`: what was asked on the command line, and the answer as a table or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.archive.checkpoints import read_heads, write_heads
from evaluation_cancel.consumer.audit.cli import wiring as parts
from evaluation_cancel.consumer.audit.cli.options import saying
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import ask, screen
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.audit.verify.findings import Finding, Findings
from evaluation_cancel.consumer.audit.verify.verify import Verification, verify
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.schemas.kafka_settings import load_settings

_DEFECTS = 1


def verify_command(
    expect: Annotated[
        Path | None, typer.Option("--heads", help="Heads noted by an earlier run: the chains must still hold them.")
    ] = None,
    note: Annotated[Path | None, typer.Option("--note-heads", help="Where to note the heads of this run.")] = None,
    *,
    without_postgres: Annotated[bool, typer.Option("--without-postgres", help="The archive alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify chain, signatures, decisions and outcomes. Exits with 1 if there is any defect."""
    settings, console = load_settings(AuditSettings), screen()
    done = ask(_verify(settings, console, expect=expect, without_postgres=without_postgres))
    findings = done.findings
    if note is not None and not findings.defects:
        write_heads(note, done.heads)
    if as_json:
        _print_json(done)
    else:
        _print(done, Console(highlight=False))
    sys.exit(_DEFECTS if findings.defects else 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Done:
    """`beside`: what the archive was held against. `lag`: seconds; what is younger is not missed yet."""

    findings: Findings
    heads: dict[Partition, Head]
    beside: tuple[str, ...]
    lag: float


async def _verify(settings: AuditSettings, console: Console, *, expect: Path | None, without_postgres: bool) -> _Done:
    expected = {} if expect is None else read_heads(expect)
    trusted = parts.trusted_keys(settings)
    bounds = await _kafka_bounds(settings, console)
    verification = Verification(
        topics=settings.topics,
        lag=timedelta(seconds=settings.audit_lag),
        inbox_kept=timedelta(days=settings.inbox_days),
        messages_kept=timedelta(days=settings.outbox_days),
        accept_bare=settings.accept_bare,
        every_team_sources=settings.every_team_sources,
        expected=expected,
        kafka_bounds=bounds,
    )
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(parts.store(settings))
        opened = None if without_postgres else await stack.enter_async_context(parts.postgres(settings))
        findings, heads = await verify(store, trusted, opened, verification, saying(console))
    if not findings.counts["links"] and not findings.defects:
        raise Refusal("empty_archive", "there is no link below this bucket and prefix: nothing was verified")
    asked = {"Postgres": opened is not None, "Kafka's offsets": bounds is not None, "noted heads": expect is not None}
    beside = tuple(name for name, was_asked in asked.items() if was_asked)
    return _Done(findings=findings, heads=heads, beside=beside, lag=settings.audit_lag)


async def _kafka_bounds(settings: AuditSettings, console: Console) -> Mapping[Partition, tuple[int, int]] | None:
    try:
        async with parts.kafka(settings) as log:
            return await log.bounds()
    except TemporaryError as error:
        saying(console)(
            f"Kafka could not be read ({error.code}): whether it still has what is not archived is not known."
        )
        return None


def _print(done: _Done, console: Console) -> None:
    findings = done.findings
    for title, found in (("Notices", findings.notices), ("Defects", findings.defects)):
        if found:
            console.print(_table(title, found))
    looked_at = ("links", "objects", "records", "commands", "events", "evaluations", "cancellations", "messages")
    console.print(
        "Looked at: " + ", ".join(f"{findings.counts[name]:,} {name}" for name in looked_at) + ".", soft_wrap=True
    )
    console.print(
        f"Held against {', '.join(done.beside) or 'nothing else'}. What is younger than {done.lag:g} s may be on its"
        " way and is not called missing.",
        soft_wrap=True,
    )
    defects = sum(findings.counts[code] for code in {f.code for f in findings.defects})
    console.print("No defect was found." if not findings.defects else f"{defects:,} defects were found.")


def _table(title: str, found: Sequence[Finding]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("code", "where", "what"):
        table.add_column(column, overflow="fold")
    for finding in sorted(found, key=lambda f: (f.code, f.where)):
        table.add_row(finding.code, finding.where, finding.detail)
    return table


def _print_json(done: _Done) -> None:
    findings = done.findings
    answer = {
        "held_against": done.beside,
        "lag_seconds": done.lag,
        "defects": [asdict(f) for f in findings.defects],
        "notices": [asdict(f) for f in findings.notices],
        "counts": dict(findings.counts),
        "heads": [
            {"topic": t, "partition": p, "next_offset": h.next_offset, "digest": h.digest}
            for (t, p), h in sorted(done.heads.items())
        ],
    }
    sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")
