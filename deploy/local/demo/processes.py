"""The act that only a cluster with a kubelet can play: its processes are real, and one ignores SIGTERM."""

import asyncio
from datetime import UTC, datetime

import psutil

from deploy.local.demo.cases import ACCEPTED, CANCELLED, STOPPED, Expected
from deploy.local.demo.desk import ADA, Desk
from deploy.local.kubernetes_kubelet.cluster import KubeletKubernetes
from deploy.local.play.listener import PATIENCE

GRACE_SECONDS = 5
_LOOKS_EVERY = 0.02


async def ignores_its_end(desk: Desk, kubernetes: KubeletKubernetes) -> None:
    desk.screen.act(
        "12 · A process that ignores SIGTERM",
        f"It gets {GRACE_SECONDS} s, then the kubelet kills it. Only when the kubelet has reported the end of its "
        "container is the outcome published: no process of it runs by then.",
    )
    expected = Expected(status="cancelled", decisions=("accepted",), events=STOPPED)
    case = await desk.running_case("stubborn", expected, ends_after=None, grace=GRACE_SECONDS)
    await desk.pods_run(case, 1)
    pids = kubernetes.processes(str(case.evaluation.id))
    desk.must(len(pids) == 1, f"one process of {case.name} was to run, not {pids}")
    desk.screen.step("process", case.name, f"{pids[0]} runs")
    await desk.cancel(case, ADA)
    await desk.listener.heard(case.evaluation.id, ACCEPTED)
    async with asyncio.timeout(PATIENCE):
        while psutil.pid_exists(pids[0]):  # noqa: ASYNC110  no event tells of another process's end
            await asyncio.sleep(_LOOKS_EVERY)
    ended = datetime.now(UTC)
    desk.screen.step("process", case.name, f"{pids[0]} has ended")
    await desk.listener.heard(case.evaluation.id, CANCELLED)
    heard = desk.listener.first(case.evaluation.id, CANCELLED)
    said = None if heard is None else heard.envelope.time
    desk.must(said is not None and said > ended, f"{CANCELLED} came before the end of process {pids[0]}")
