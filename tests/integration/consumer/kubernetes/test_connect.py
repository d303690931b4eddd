"""Connecting to a cluster: which files and environment variables of the account count, and which do not."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from aiohttp import web

from deploy.local.kubernetes.cluster import write_kubeconfig
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess, connect
from tests.support.consumer.stub_server import answering, serving


async def test_a_netrc_of_the_account_neither_stops_calls_nor_replaces_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str | None] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({"kind": "PodList", "metadata": {}, "items": []})

    async with answering(tmp_path, handle) as jobs:
        assert await jobs.pods("default", "a=b") == []
    assert seen == ["Bearer t"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"http_proxy": "http://me:secret@{}"}, [("http://cluster.example", "Basic bWU6c2VjcmV0")]),
        ({"http_proxy": "http://{}"}, [("http://cluster.example", None)]),
        ({"http_proxy": "http://{}", "no_proxy": ".example"}, []),
        ({"https_proxy": "http://{}"}, []),
        ({}, []),
    ],
)
async def test_the_proxy_of_the_environment_is_used_unless_no_proxy_excludes_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: list[tuple[str, str | None]]
) -> None:
    seen: list[tuple[str, str | None]] = []

    async def proxy(request: web.BaseRequest) -> web.StreamResponse:
        seen.append((request.raw_path.partition("/api/")[0], request.headers.get("Proxy-Authorization")))
        return web.json_response({"kind": "PodList", "metadata": {}, "items": []})

    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    async with serving(proxy) as address:
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(address))
        kubeconfig = write_kubeconfig(tmp_path / "far", url="http://cluster.example", token="t")
        jobs = await connect(ClusterAccess(kubeconfig=kubeconfig, call_timeout=2.0, connect_timeout=2.0))
        with nullcontext() if expected else pytest.raises(TemporaryError):
            assert await jobs.pods("default", "a=b") == []
        await jobs.close()
    assert seen == expected
