"""Schemathesis against the running server, from its own document: all checks, data that fits and data that does not."""

import asyncio
import os
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from deploy.local.processes.plain_http import plain_client
from tests.support.producer.service import TEAM, Service

EXAMPLES = "25"
LIMIT = 100.0
# That it has ended already is a good answer to a good request.
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 404]
"""


async def test_the_server_keeps_what_its_document_promises(served: Service, tmp_path: Path) -> None:
    evaluations = [str(await served.evaluation()) for _ in range(200)]
    for evaluation in evaluations[:20]:
        async with served.client() as client:
            await client.post(f"/v1/evaluations/{evaluation}/cancel", headers={"prefer": "respond-async"})
    before = await _answers(served)
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml"),
        *("run", f"{served.url}/openapi.json"),
        *("--checks", "all", "--mode", "all", "--max-examples", EXAMPLES, "--workers", "4", "--continue-on-failure"),
        *("--suppress-health-check", "all", "--generation-database", "none", "--warnings", "off", "--no-color"),
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("schemathesis_hooks.py")),
            "TOKEN": served.tokens.token("ada", [TEAM]),
            "EVALUATIONS": ",".join(evaluations),
            "NO_PROXY": "127.0.0.1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LIMIT):
            said, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
    assert program.returncode == 0, said.decode()
    after = await _answers(served)
    more = {status for status, count in after.items() if count > before.get(status, 0)}
    # It came to the core, and not only to the door.
    assert {"200", "400", "401", "404", "422"} <= more
    assert not any(status.startswith("5") for status in more)


async def _answers(served: Service) -> dict[str, float]:
    """How often the POST was answered with each status."""
    async with plain_client(served.url, timeout=60) as client:
        metrics = (await client.get("/metrics")).text
    return {
        sample.labels["status"]: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name.endswith("request_seconds_count") and sample.labels["route"].endswith("/cancel")
    }
