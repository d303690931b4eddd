"""The last act: the topics are archived under a key made for it, verified, and one evaluation's story is told from all
there is. It calls the commands that an operator would.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping

import aioboto3

from deploy.local.demo.cases import Case
from deploy.local.demo.desk import Desk
from deploy.local.demo.screen import Screen
from deploy.local.errors import NotAsToldError
from deploy.local.processes.process import Workspace
from deploy.local.stand.system import System
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX

BUCKET = "audit"
LIMIT = 120.0


async def explained(desk: Desk, case: Case) -> None:
    """Raises `NotAsToldError` when archive or history is not whole."""
    running, screen = desk.running, desk.screen
    screen.act(
        "Who stopped it, when, why, and what was deleted?",
        "The topics are written to an archive of signed, chained objects; history is verified against it and Postgres. "
        "Then `audit explain` tells one evaluation's story, each line with its source.",
    )
    environment = await _with_archive(running)
    await _audit(environment, "archive", "--once")
    screen.step("archive", "", f"all three topics are in the bucket `{BUCKET}`, signed")
    for line in (await _audit(environment, "verify")).splitlines():
        screen.step("verify", "", line)
    screen.say()
    for line in (await _audit(environment, "explain", str(case.evaluation.id))).splitlines():
        if not line.startswith("archive object"):
            _show(screen, line)


def _show(screen: Screen, line: str) -> None:
    screen.say(line.rstrip()[: screen.console.width])


async def _with_archive(running: System) -> Mapping[str, str]:
    """A bucket and a key of its own, and the settings that name them."""
    s3 = running.stack.s3
    session = aioboto3.Session(s3.access_key, s3.secret_key, region_name=s3.region)
    async with session.client("s3", endpoint_url=s3.endpoint_url) as client:
        await client.create_bucket(Bucket=BUCKET)
    private, public = _keys(running.stack.work)
    named = {
        "AUDIT_BUCKET": BUCKET,
        "AUDIT_SIGNING_KEY_FILE": private,
        "AUDIT_PUBLIC_KEY_FILES": json.dumps([public]),
        "AUDIT_LAG": "5",
    }
    return {**running.environment, **{f"{ENVIRONMENT_PREFIX}{name}": value for name, value in named.items()}}


def _keys(work: Workspace) -> tuple[str, str]:
    """An Ed25519 key as `openssl genpkey` makes it, and its public half."""
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415  # of the extra `audit`
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    private, public = work.directory / "signing.pem", work.directory / "public.pem"
    private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return str(private), str(public)


async def _audit(environment: Mapping[str, str], *arguments: str) -> str:
    """What `python -m evaluation_cancel.consumer audit …` prints."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evaluation_cancel.consumer", "audit", *arguments),
        env={**os.environ, **environment, "COLUMNS": "100"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(), LIMIT)
    except TimeoutError:
        raise NotAsToldError(f"audit {arguments[0]} was not done after {LIMIT:g} s") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise NotAsToldError(f"audit {arguments[0]} failed with {child.returncode}:\n{(out + err).decode()}")
    return out.decode()
