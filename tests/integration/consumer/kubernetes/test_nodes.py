"""Whether a node's kubelet reports, on an API server, and on a stub for refusals and odd answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from deploy.local.kubernetes.cluster import NODE
from evaluation_cancel.consumer.kubernetes.nodes import NodeStates
from tests.support.consumer.cluster_env import ClusterEnv
from tests.support.consumer.stub_server import answering


async def test_a_node_that_reports_is_ready_and_one_that_does_not_exist_is_gone(cluster_env: ClusterEnv) -> None:
    assert await cluster_env.jobs.node_state(NODE) == "ready"
    assert await cluster_env.jobs.node_state("no-such-node") == "gone"


@pytest.mark.parametrize(
    ("code", "document", "expected"),
    [
        (200, {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, "not_ready"),
        (200, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "not_ready"),
        (200, {"metadata": {}}, "not_ready"),
        (404, {"kind": "Status", "message": "page not found"}, None),
        (403, {"kind": "Status", "message": "no"}, None),
        (500, {}, None),
        (200, [], None),
    ],
)
async def test_an_answer_counts_for_no_more_than_it_says(
    tmp_path: Path, code: int, document: object, expected: str | None
) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(document, status=code)

    async with answering(tmp_path, answer) as jobs:
        assert await jobs.node_state("n-1") == expected


@pytest.mark.parametrize(("code", "expected"), [(200, 4), (403, 2), (500, 4)])
async def test_a_node_is_asked_once_in_ten_seconds_and_not_for_minutes_without_the_right(
    tmp_path: Path, code: int, expected: int
) -> None:
    asked: list[str] = []
    now = [1000.0]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response({}, status=code)

    async with answering(tmp_path, answer) as jobs:
        nodes = NodeStates(jobs.calls, clock=lambda: now[0])
        for step in (0.0, 9.0, 2.0, 9.0, 2.0, 290.0):
            now[0] += step
            await nodes.state("n-1")
    assert len(asked) == expected
