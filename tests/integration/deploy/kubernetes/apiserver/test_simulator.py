"""The simulator's own knobs: faults on order, restarts, histories, and how much it bears.

These have no counterpart on a real server, so each test starts a simulator of its own.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.local.kubernetes_simulated import Simulator, Which
from deploy.local.kubernetes_simulated.child import kubernetes_simulated
from deploy.local.processes.process import workspace
from tests.support.kubernetes.raw import CONTROLLER_UID, Raw, foreground, session_of

TWICE = 2
"""aiohttp repeats a GET or a DELETE by itself, once, when its connection is cut."""


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with Simulator(tmp_path) as simulator:
        yield simulator


@pytest.fixture
async def api(simulator: Simulator) -> AsyncIterator[Raw]:
    async with session_of(simulator.cluster) as session:
        yield Raw(session, "default")


async def test_the_next_requests_that_match_are_answered_with_a_status(simulator: Simulator, api: Raw) -> None:
    await api.create_job("one", suspend=True)
    fault = simulator.faults.answer(503, Which(verb="get", resource="jobs", name="on*"), times=2)
    assert (await api.get(api.jobs)).code == 200
    assert [(await api.job("one")).code for _ in range(3)] == [503, 503, 200]
    assert fault.hits == 2


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (409, "Conflict"),
        (410, "Expired"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (504, "Timeout"),
    ],
)
async def test_a_fault_has_the_body_of_its_code_and_nothing_is_performed(
    simulator: Simulator, api: Raw, code: int, reason: str
) -> None:
    await api.create_job("one", suspend=True)
    simulator.faults.answer(code, Which(verb="delete"))
    answer = await api.delete_job("one")
    assert (answer.code, answer.body["code"], answer.body["reason"]) == (code, code, reason)
    assert (await api.job("one")).code == 200


async def test_429_says_in_plain_text_when_to_retry(simulator: Simulator, api: Raw) -> None:
    simulator.faults.answer(429, retry_after=7)
    answer = await api.get(api.jobs)
    assert (answer.code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.body == "Too many requests, please try again later.\n"


async def test_a_connection_can_be_cut_before_the_request_is_performed(simulator: Simulator, api: Raw) -> None:
    created = await api.create_job("one", suspend=True)
    simulator.faults.cut(Which(verb="delete"), times=TWICE)
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.delete_job("one", foreground(created.uid))
    assert "deletionTimestamp" not in (await api.job("one")).body["metadata"]


async def test_a_connection_can_be_cut_after_the_request_was_performed(simulator: Simulator, api: Raw) -> None:
    created = await api.create_job("one", suspend=True)
    simulator.faults.cut(Which(verb="delete"), times=TWICE, performed=True)
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.delete_job("one", foreground(created.uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/one"))


async def test_a_delayed_request_is_performed_although_its_client_gave_up(simulator: Simulator, api: Raw) -> None:
    created = await api.create_job("one", suspend=True)
    simulator.faults.delay(0.5, Which(verb="delete"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await api.delete_job("one", foreground(created.uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/one"))


async def test_faults_can_be_taken_back(simulator: Simulator, api: Raw) -> None:
    fault = simulator.faults.answer(500, times=None)
    assert [(await api.get(api.jobs)).code for _ in range(3)] == [500] * 3
    simulator.faults.remove(fault)
    assert (await api.get(api.jobs)).code == 200
    simulator.faults.answer(500, times=None)
    simulator.faults.clear()
    assert (await api.get(api.jobs)).code == 200


async def test_a_revoked_token_gets_401(simulator: Simulator, api: Raw) -> None:
    simulator.access.revoke(simulator.cluster.token)
    assert (await api.get(api.jobs)).code == 401


async def test_what_was_asked_is_remembered(simulator: Simulator, api: Raw) -> None:
    created = await api.create_job("one", suspend=True)
    await api.delete_job("one", foreground(created.uid))
    last = simulator.requests[-1]
    assert (last.verb, last.resource, last.namespace, last.name) == ("delete", "jobs", "default", "one")
    assert (last.user, last.code, last.body) == ("admin", 200, foreground(created.uid))


async def test_watches_can_be_ended(simulator: Simulator, api: Raw) -> None:
    async with api.watch(api.jobs) as watch:
        await api.until(lambda: _open(simulator), 1)
        simulator.watches.close()
        assert await watch.rest() == []
    async with api.watch(api.jobs) as watch:
        await api.until(lambda: _open(simulator), 1)
        simulator.watches.close(abruptly=True)
        with pytest.raises(aiohttp.ClientError):
            await watch.rest()


async def _open(simulator: Simulator) -> int:
    return len(simulator.watches)


async def test_a_watch_can_fall_silent_without_ending(simulator: Simulator, api: Raw) -> None:
    version = (await api.get(api.jobs)).version
    async with api.watch(api.jobs, resourceVersion=version) as watch:
        simulator.watches.pause()
        await api.create_job("one", suspend=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await watch.next()
    async with api.watch(api.jobs, resourceVersion=version) as watch:
        simulator.watches.resume()
        assert (await watch.next())["type"] == "ADDED"


async def test_a_list_from_version_zero_shows_the_past_while_the_cache_is_frozen(
    simulator: Simulator, api: Raw
) -> None:
    await api.create_job("a", suspend=True)
    simulator.freeze_cache()
    await api.create_job("b", suspend=True)
    assert (await api.get(api.jobs, resourceVersion="0")).names == ["a"]
    assert (await api.get(api.jobs)).names == ["a", "b"]
    simulator.thaw_cache()
    assert (await api.get(api.jobs, resourceVersion="0")).names == ["a", "b"]


async def test_a_watch_whose_client_is_gone_is_forgotten(simulator: Simulator, api: Raw) -> None:
    async with session_of(simulator.cluster) as session, Raw(session, "default").watch(api.jobs):
        await api.until(lambda: _open(simulator), 1)
    await api.until(lambda: _open(simulator), 0)


async def test_a_restart_cuts_connections_and_keeps_objects(simulator: Simulator, api: Raw) -> None:
    created = await api.running_job("one")
    async with api.watch(api.jobs) as watch:
        await watch.next()
        await simulator.stop()
        with pytest.raises(aiohttp.ClientError):
            await watch.rest()
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.job("one")
    await simulator.start()
    assert (await api.job("one")).uid == created.uid
    assert await api.count_pods(created.uid, "Running") == 1


async def test_pods_end_while_the_server_is_away(simulator: Simulator, api: Raw) -> None:
    created = await api.running_job("one", ends_after="0.2")
    await api.delete_job("one", foreground(created.uid))
    await simulator.stop()
    await asyncio.sleep(0.5)
    await simulator.start()
    assert await api.is_gone(f"{api.jobs}/one")


async def test_a_field_that_is_not_simulated_is_refused(api: Raw) -> None:
    answer = await api.call("DELETE", f"{api.jobs}/x", {"dryRun": ["All"]})
    assert answer.code == 400
    assert "not simulated" in answer.body["message"]


@pytest.mark.parametrize("pods", ["runs", "stuck"])
async def test_a_thousand_jobs_are_borne(simulator: Simulator, api: Raw, pods: str) -> None:
    number = 1000

    async def one(index: int) -> None:
        created = await api.create_job(f"job-{index}", behaviour=pods)
        assert (await api.delete_job(f"job-{index}", foreground(created.uid))).code == 200

    await asyncio.gather(*(one(index) for index in range(number)))
    left = number if pods == "stuck" else 0

    async def pods_left() -> int:
        return sum(CONTROLLER_UID in p["metadata"]["labels"] for p in (await api.get(api.pods)).body["items"])

    if pods == "runs":
        await api.until(pods_left, left)
        assert (await api.get(api.jobs)).names == []
    else:
        # Whose pod had not been created when the Job went needs none to get stuck.
        await api.until(lambda: _settled(simulator, api, pods_left))


async def _settled(simulator: Simulator, api: Raw, pods_left: Any) -> bool:
    return len((await api.get(api.jobs)).names) == await pods_left()


async def test_as_a_child_process_its_knobs_are_turned_over_http() -> None:
    async with workspace() as work, kubernetes_simulated(work) as child, session_of(child.cluster) as session:
        api = Raw(session, "default")
        await child.knobs.fault("answer", status=503, times=None, which={"resource": "jobs"})
        assert (await api.get(api.jobs)).code == 503
        await child.knobs.clear_faults()
        await child.knobs.turn("pause_controllers")
        created = await api.create_job("one")
        await child.knobs.turn("resume_controllers")
        await api.until(lambda: api.count_pods(created.uid, "Running"), 1)
        await child.knobs.turn("compact")
        assert (await api.get(api.jobs)).code == 200


async def test_the_knobs_are_the_administrator_s(api: Raw) -> None:
    answer = await api.call("POST", "/simulator/compact", headers={"Impersonate-User": "bob"})
    assert answer.code == 404
    assert (await api.call("POST", "/simulator/nothing")).code == 400
    assert (await api.call("POST", "/simulator/faults", {"what": "ever"})).code == 400


async def test_it_ends_in_order_when_it_is_told_to(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.local.kubernetes_simulated", "--directory", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert b"Simulated Kubernetes API at http://127.0.0.1:" in line
    assert (tmp_path / "kubeconfig").exists()
