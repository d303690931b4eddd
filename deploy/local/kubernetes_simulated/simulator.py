"""A Kubernetes API server in this process, with its controllers and kubelet, and knobs for whatever goes wrong.

    async with Simulator(directory) as sim:
        sim.cluster.kubeconfig            # for clients
        sim.faults.answer(503, Which(verb="delete"))

Nothing is stored on disk except the kubeconfig. The same as a child process: `python -m
deploy.local.kubernetes_simulated`.
"""

import asyncio
from pathlib import Path
from typing import Self

from aiohttp import web

from deploy.local.kubernetes.cluster import NODE, Cluster, write_kubeconfig
from deploy.local.kubernetes_simulated.apiserver.access import MASTERS, Access, User
from deploy.local.kubernetes_simulated.apiserver.api import Api
from deploy.local.kubernetes_simulated.apiserver.faults import Faults
from deploy.local.kubernetes_simulated.apiserver.knobs import Knob, Panel
from deploy.local.kubernetes_simulated.apiserver.server import Seen, Server
from deploy.local.kubernetes_simulated.controllers.garbage import GarbageCollector, NamespaceController
from deploy.local.kubernetes_simulated.controllers.job_controller import JobController
from deploy.local.kubernetes_simulated.controllers.kubelet import Kubelet
from deploy.local.kubernetes_simulated.controllers.workqueue import WorkQueue
from deploy.local.kubernetes_simulated.objects.creation import create
from deploy.local.kubernetes_simulated.objects.resources import NAMESPACES, NODES
from deploy.local.kubernetes_simulated.objects.store import Store
from deploy.local.kubernetes_simulated.objects.watching import Watches
from deploy.local.processes.ports import LOOPBACK, free_port

ADMINISTRATOR = "admin"
KUBECONFIG = "kubeconfig"


class Simulator:
    """The whole cluster. Use as an async context manager."""

    def __init__(self, directory: Path, *, port: int = 0, token: str | None = None) -> None:
        self.store = Store()
        self.access = Access(self.store)
        self.faults = Faults()
        self.watches = Watches(self.store)
        self.jobs = JobController(self.store)
        self.garbage = GarbageCollector(self.store)
        self.namespaces = NamespaceController(self.store)
        self.kubelet = Kubelet(self.store)
        self._api = Api(self.store, self.access)
        panel = Panel(self.faults, self._knobs())
        self._server = Server(api=self._api, access=self.access, watches=self.watches, faults=self.faults, panel=panel)
        self._runner: web.ServerRunner | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._port = port or free_port()
        token = self.access.add_token(User(name=ADMINISTRATOR, groups=(MASTERS,)), token)
        url = f"http://{LOOPBACK}:{self._port}"
        kubeconfig = write_kubeconfig(directory / KUBECONFIG, url=url, token=token)
        self.cluster = Cluster(kubeconfig=kubeconfig, url=url, token=token, ca_path=None, kind="simulated")

    async def __aenter__(self) -> Self:
        for queue in self._queues:
            queue.start()
        for name in ("default", "kube-system"):
            create(self.store, NAMESPACES, "", {"metadata": {"name": name}})
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        create(self.store, NODES, "", {"metadata": {"name": NODE}, "status": ready})
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self.kubelet.stop()
        for queue in self._queues:
            await queue.stop()

    def _knobs(self) -> dict[str, Knob]:
        """What can be turned from another process."""
        return {
            "restart": self.restart_soon,
            "pause_controllers": self.pause_controllers,
            "resume_controllers": self.resume_controllers,
            "pause_kubelet": self.kubelet.pause,
            "resume_kubelet": self.kubelet.resume,
            "pods_come_late": self.pods_come_late,
            "jobs_go_before_their_pods": self.jobs_go_before_their_pods,
            "close_watches": self.watches.close,
            "pause_watches": self.watches.pause,
            "resume_watches": self.watches.resume,
            "compact": self.compact,
            "freeze_cache": self.freeze_cache,
            "thaw_cache": self.thaw_cache,
        }

    @property
    def _queues(self) -> tuple[WorkQueue, ...]:
        return self.jobs.queue, self.garbage.queue, self.namespaces.queue

    @property
    def requests(self) -> list[Seen]:
        """The latest requests that reached the API, oldest first."""
        return list(self._server.requests)

    async def start(self) -> None:
        """Listen again after `stop`, on the same port, with all that was stored."""
        server = web.Server(self._server.handle, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self._port, backlog=1024).start()

    async def stop(self) -> None:
        """Cut every connection and refuse new ones; controllers and kubelet go on."""
        if self._runner is None:
            return
        self.watches.close(abruptly=True)
        runner, self._runner = self._runner, None
        await asyncio.shield(runner.cleanup())

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def restart_soon(self) -> None:
        """For a caller that is itself a request of the server that restarts."""
        self._restarting = asyncio.get_running_loop().create_task(self.restart())

    def pause_controllers(self) -> None:
        """As when the controller manager is stopped: no pods are created, ended or counted, nothing is collected."""
        for queue in self._queues:
            queue.pause()

    def resume_controllers(self) -> None:
        for queue in self._queues:
            queue.resume()

    def pods_come_late(self, seconds: float) -> None:
        """Let pods be created this long after they were due, although their Job is being deleted by then."""
        self.jobs.creation_lag = seconds
        self.garbage.queue.lag = seconds * 2

    def jobs_go_before_their_pods(self, seconds: float) -> None:
        """Let the garbage collector overlook pods younger than this, so that a Job vanishes first."""
        self.garbage.blind_to_younger_than = seconds

    def compact(self) -> None:
        """Forget history: watches from an older version and continued lists get 410."""
        self.store.compact()

    def freeze_cache(self) -> None:
        """From now on lists with resourceVersion=0 show the present state for ever."""
        self._api.cached_at = self.store.version

    def thaw_cache(self) -> None:
        self._api.cached_at = None
