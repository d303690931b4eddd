"""The same random deletions on the simulator and on the real server, answer by answer.

Controllers and kubelets stand still meanwhile, so that only the servers' own rules show.
"""

import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.kubernetes.cluster import NODE
from deploy.local.kubernetes_simulated import Simulator
from tests.support.kubernetes.raw import Answer, Raw, job, session_of
from tests.support.kubernetes.under_test import UnderTest

pytestmark = pytest.mark.real

ROUNDS = 150
WRONG = "00000000-0000-4000-8000-000000000000"
HOLD = "example.com/hold"
Request = dict[str, Any]


@pytest.fixture
async def simulated(tmp_path: Path) -> AsyncIterator[Raw]:
    async with Simulator(tmp_path) as simulator, session_of(simulator.cluster) as session:
        simulator.pause_controllers()
        simulator.kubelet.pause()
        yield Raw(session, "default")


def a_deletion(dice: random.Random) -> Request:
    options = {
        "propagationPolicy": dice.choice([None, "Foreground", "Foreground", "Background", "Orphan", "Sideways"]),
        "orphanDependents": dice.choice([None, None, None, True, False]),
        "gracePeriodSeconds": dice.choice([None, None, 0, 1, 5, 60, -1]),
        "uid": dice.choice([None, "right", "right", "wrong"]),
        "resourceVersion": dice.choice([None, None, None, "right", "wrong"]),
    }
    chosen = {name: value for name, value in options.items() if value is not None}
    return {"where": dice.choice(["body", "body", "body", "query", "nowhere"]), "options": chosen}


async def perform(api: Raw, path: str, request: Request) -> Answer:
    """Send a deletion whose right uid and version are those of now."""
    if request["where"] == "nowhere":
        return await api.call("DELETE", path)
    options = dict(request["options"])
    now = await api.get(path)
    conditions: dict[str, str] = {}
    for name, wrong in (("uid", WRONG), ("resourceVersion", "1")):
        if name in options:
            right = now.body["metadata"][name] if now.code == 200 else wrong
            conditions[name] = right if options.pop(name) == "right" else wrong
    if request["where"] == "query":
        params = {name: str(value).lower() if value in (True, False) else str(value) for name, value in options.items()}
        if "propagationPolicy" in params:
            params["propagationPolicy"] = options["propagationPolicy"]
        return await api.call("DELETE", path, params=params)
    return await api.call("DELETE", path, {**options, **({"preconditions": conditions} if conditions else {})})


def told(answer: Answer) -> dict[str, Any]:
    """What an answer says, without what differs from cluster to cluster."""
    body = answer.body
    if body.get("kind") == "Status":
        message = re.sub(r"\([0-9a-f-]+\)|/registry/\S+|meta: \d+", "…", body.get("message", ""))
        details = {name: value for name, value in body.get("details", {}).items() if name != "uid"}
        return {"code": answer.code, "reason": body.get("reason"), "message": message, "details": details}
    metadata = body["metadata"]
    return {
        "code": answer.code,
        "kind": body["kind"],
        "generation": metadata.get("generation"),
        "finalizers": sorted(metadata.get("finalizers", [])),
        "deleting": "deletionTimestamp" in metadata,
        "grace": metadata.get("deletionGracePeriodSeconds"),
    }


async def story(api: Raw, path: str, requests: list[Request]) -> list[Any]:
    """Each request with its answer and the state after it."""
    lines = []
    for request in requests:
        answer = await perform(api, path, request)
        lines.append((request, told(answer), told(await api.get(path))))
    return lines


async def test_deletions_of_jobs_are_answered_alike(api: Raw, simulated: Raw, under_test: UnderTest) -> None:
    dice = random.Random(1)
    async with under_test.controllers_paused():
        for number in range(ROUNDS):
            requests = [a_deletion(dice) for _ in range(4)]
            name = f"job-{number}"
            metadata = {"finalizers": dice.choice([[], [HOLD], [HOLD]])}
            for each in (api, simulated):
                await each.create_job(name, suspend=True, metadata=metadata)
            real = await story(api, f"{api.jobs}/{name}", requests)
            assert await story(simulated, f"{simulated.jobs}/{name}", requests) == real


async def test_deletions_of_pods_are_answered_alike(api: Raw, simulated: Raw, under_test: UnderTest) -> None:
    dice = random.Random(2)
    async with under_test.controllers_paused(), under_test.kubelet_paused():
        for number in range(ROUNDS):
            requests = [a_deletion(dice) for _ in range(4)]
            name = f"pod-{number}"
            metadata = {"name": name, "finalizers": dice.choice([[], [], [HOLD]])}
            spec = job("unused", node=dice.choice([NODE, NODE, None]))["spec"]["template"]["spec"]
            for each in (api, simulated):
                await each.create(each.pods, {"metadata": metadata, "spec": spec})
            real = await story(api, f"{api.pods}/{name}", requests)
            assert await story(simulated, f"{simulated.pods}/{name}", requests) == real
