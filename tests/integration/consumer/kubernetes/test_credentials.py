"""Credentials that come from plug-ins, files and the kubeconfig itself, and that change while the service runs."""

from __future__ import annotations

import base64
import json
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from aiohttp import web

from deploy.local.processes.ports import free_port
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.kubernetes import client as client_module
from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess, connect
from evaluation_cancel.consumer.kubernetes.credentials import run_plugin
from evaluation_cancel.consumer.kubernetes.kubeconfig import KubeconfigError
from tests.support.consumer.certificates import Authority, Pair
from tests.support.consumer.stub_server import serving

V1 = "client.authentication.k8s.io/v1"
EMPTY = {"kind": "PodList", "metadata": {}, "items": []}


def kubeconfig(path: Path, server: str, user: dict[str, Any], **cluster: Any) -> Path:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def plugin(code: str) -> dict[str, Any]:
    return {"exec": {"apiVersion": V1, "command": sys.executable, "args": ["-c", code]}}


def printing(status: dict[str, Any]) -> str:
    return f"print({json.dumps({'apiVersion': V1, 'kind': 'ExecCredential', 'status': status})!r})"


@asynccontextmanager
async def of_tls(authority: Authority, server: Pair, folder: Path) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that demands client certificates. Yields its address and the names that it was shown."""
    for name, raw in (("ca", authority.certificate), ("crt", server.certificate), ("key", server.key)):
        (folder / f"server.{name}").write_bytes(raw)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "server.ca"))
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    shown: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        certificate = request.transport.get_extra_info("peercert")
        shown.append(certificate["subject"][0][0][1])
        code = 401 if shown[-1] == "old" else 200
        return web.json_response(EMPTY, status=code, headers={"Connection": "close"})

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    yield f"https://127.0.0.1:{port}", shown
    await runner.cleanup()


async def test_a_token_is_sent_without_the_white_space_around_it(tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.json_response(EMPTY)

    token = tmp_path / "token"
    token.write_text("  file-token\n")
    async with serving(answer) as address:
        for user in (
            {"tokenFile": str(token)},
            {"token": "inline-token\n"},
            plugin(printing({"token": "plugin-token\n"})),
        ):
            jobs = await connect(ClusterAccess(kubeconfig=kubeconfig(tmp_path / "k", f"http://{address}", user)))
            await jobs.pods("default", "a=b")
            await jobs.close()
    assert seen == ["Bearer file-token", "Bearer inline-token", "Bearer plugin-token"]


async def test_a_plugin_that_hangs_is_killed_and_told(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    code = f"import time, os; open({str(alive)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(KubeconfigError, match="had not ended after 1 s"):
        await run_plugin([sys.executable, "-c", code], {}, V1, limit=1)
    assert not psutil.pid_exists(int(alive.read_text()))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit('log in first')", "ended with 1: log in first"),
        ("print('no JSON')", "printed no ExecCredential"),
        ("print('{}')", "printed no ExecCredential"),
        ('print(\'{"apiVersion": "v9", "status": {}}\')', "speaks 'v9', the kubeconfig says"),
    ],
)
async def test_a_plugin_that_fails_refuses_the_start_with_its_words(tmp_path: Path, code: str, said: str) -> None:
    path = kubeconfig(tmp_path / "k", "http://127.0.0.1:1", plugin(code))
    with pytest.raises(KubeconfigError, match=said):
        await connect(ClusterAccess(kubeconfig=path))


async def test_a_plugin_that_does_not_exist_is_named(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": V1, "command": "/no/such/plugin"}}
    with pytest.raises(KubeconfigError, match="'/no/such/plugin' cannot be run: No such file"):
        await connect(ClusterAccess(kubeconfig=kubeconfig(tmp_path / "k", "http://127.0.0.1:1", user)))


async def test_certificates_in_the_kubeconfig_need_no_writable_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    me = authority.issue("me")
    monkeypatch.setattr(tempfile, "mkstemp", _no_folder)
    async with of_tls(authority, authority.issue("server"), tmp_path) as (address, shown):
        user = {"client-certificate-data": encoded(me.certificate), "client-key-data": encoded(me.key)}
        path = kubeconfig(
            tmp_path / "k", address, user, **{"certificate-authority-data": encoded(authority.certificate)}
        )
        jobs = await connect(ClusterAccess(kubeconfig=path, disable_strict_ssl_verification=True))
        assert await jobs.pods("default", "a=b") == []
        await jobs.close()
    assert shown == ["me"]


@pytest.mark.parametrize("source", ["files", "plugin"])
async def test_a_renewed_client_certificate_is_used_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(client_module, "_RENEWAL_PAUSE", 0.0)
    authority = Authority()
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"

    def give(name: str) -> None:
        pair = authority.issue(name)
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)

    give("old")
    user: dict[str, Any] = {"client-certificate": str(certificate), "client-key": str(key)}
    if source == "plugin":
        read = f"c=open({str(certificate)!r}).read(); k=open({str(key)!r}).read(); import json;"
        status = "{'clientCertificateData': c, 'clientKeyData': k}"
        user = plugin(f"{read} print(json.dumps({{'apiVersion': {V1!r}, 'kind': 'x', 'status': {status}}}))")
    async with of_tls(authority, authority.issue("server"), tmp_path) as (address, shown):
        path = kubeconfig(tmp_path / "k", address, user, **{"certificate-authority": str(tmp_path / "server.ca")})
        jobs = await connect(ClusterAccess(kubeconfig=path, disable_strict_ssl_verification=True))
        give("new")
        with pytest.raises(TemporaryError, match="unauthenticated"):
            await jobs.pods("default", "a=b")
        assert await jobs.pods("default", "a=b") == []
        await jobs.close()
    assert shown == ["old", "new"]


def _no_folder(*_: object, **__: object) -> tuple[int, str]:
    raise FileNotFoundError("No usable temporary directory found")
