"""The command `verify`. Prints the findings as tables or as JSON."""

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
from rich.text import Text

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.archive.checkpoints import read_checkpoints, write_checkpoints
from evaluation_cancel.consumer.audit.cli import wiring
from evaluation_cancel.consumer.audit.cli.options import print_remarks
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import run_command, stderr_console
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.audit.verify.context import Verification
from evaluation_cancel.consumer.audit.verify.findings import Finding, Findings
from evaluation_cancel.consumer.audit.verify.verify import verify
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.schemas.plain_text import visible, visible_json
from evaluation_cancel.schemas.settings.loading import load_settings

_DEFECTS = 1


def verify_command(
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="File with the heads of an earlier run. The chains must still contain them."),
    ] = None,
    note_heads: Annotated[
        Path | None, typer.Option("--note-heads", help="File to write the heads to, if there is no defect.")
    ] = None,
    *,
    without_postgres: Annotated[bool, typer.Option("--without-postgres", help="Verify the archive alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify chain, signatures, decisions and outcomes. Exits with 1 if there is any defect."""
    settings, console = load_settings(AuditSettings), stderr_console()
    result = run_command(_verify(settings, console, heads=heads, without_postgres=without_postgres))
    findings = result.findings
    if note_heads is not None and not findings.defects:
        write_checkpoints(note_heads, result.heads)
    if as_json:
        _print_json(result)
    else:
        _print(result, Console(highlight=False))
    sys.exit(_DEFECTS if findings.defects else 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Result:
    """`compared_with` names the sources that the archive was compared with. `lag` is in seconds."""

    findings: Findings
    heads: dict[Partition, Head]
    compared_with: tuple[str, ...]
    lag: float


async def _verify(settings: AuditSettings, console: Console, *, heads: Path | None, without_postgres: bool) -> _Result:
    checkpoints = {} if heads is None else read_checkpoints(heads)
    trusted = wiring.trusted_keys(settings)
    bounds = await _kafka_bounds(settings, console)
    verification = Verification(
        topics=settings.topics,
        lag=timedelta(seconds=settings.audit_lag),
        inbox_kept=timedelta(days=settings.inbox_days),
        messages_kept=timedelta(days=settings.outbox_days),
        accept_bare=settings.accept_bare,
        every_team_sources=settings.every_team_sources,
        checkpoints=checkpoints,
        kafka_bounds=bounds,
    )
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(wiring.store(settings))
        database = None if without_postgres else await stack.enter_async_context(wiring.postgres(settings))
        findings, found = await verify(store, trusted, database, verification, print_remarks(console))
    if not findings.counts["links"] and not findings.defects:
        raise Refusal("empty_archive", "this bucket and prefix contain no link: nothing was verified")
    sources = {
        "Postgres": database is not None,
        "Kafka's offsets": bounds is not None,
        "noted heads": heads is not None,
    }
    compared_with = tuple(name for name, was_read in sources.items() if was_read)
    return _Result(findings=findings, heads=found, compared_with=compared_with, lag=settings.audit_lag)


async def _kafka_bounds(settings: AuditSettings, console: Console) -> Mapping[Partition, tuple[int, int]] | None:
    try:
        async with wiring.kafka(settings) as log:
            return await log.bounds()
    except TemporaryError as error:
        print_remarks(console)(
            f"Kafka could not be read ({error.code}). It may have lost records that are not archived yet."
        )
        return None


def _print(result: _Result, console: Console) -> None:
    findings = result.findings
    for title, found in (("Notices", findings.notices), ("Defects", findings.defects)):
        if found:
            console.print(_table(title, found))
    counted = ("links", "objects", "records", "commands", "events", "evaluations", "cancellations", "messages")
    console.print(
        "Checked: " + ", ".join(f"{findings.counts[name]:,} {name}" for name in counted) + ".", soft_wrap=True
    )
    console.print(
        f"Compared with {', '.join(result.compared_with) or 'nothing else'}. Records younger than {result.lag:g} s may"
        " be on their way and are not reported as missing.",
        soft_wrap=True,
    )
    defects = sum(findings.counts[code] for code in {f.code for f in findings.defects})
    console.print("No defect was found." if not findings.defects else f"{defects:,} defects were found.")


def _table(title: str, found: Sequence[Finding]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("code", "where", "detail"):
        table.add_column(column, overflow="fold")
    for finding in sorted(found, key=lambda f: (f.code, f.where)):
        table.add_row(*(Text(visible(cell)) for cell in (finding.code, finding.where, finding.detail)))
    return table


def _print_json(result: _Result) -> None:
    findings = result.findings
    answer = {
        "held_against": result.compared_with,
        "lag_seconds": result.lag,
        "defects": [asdict(f) for f in findings.defects],
        "notices": [asdict(f) for f in findings.notices],
        "counts": dict(findings.counts),
        "heads": [
            {"topic": t, "partition": p, "next_offset": h.next_offset, "digest": h.digest}
            for (t, p), h in sorted(result.heads.items())
        ],
    }
    sys.stdout.write(visible_json(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode()) + "\n")
