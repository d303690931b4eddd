"""The knobs of a simulator that runs in another process: a small HTTP path beside the API, and its client.

    POST   /simulator/faults   {"action": "answer", "status": 503, "times": 2, "which": {"verb": "delete"}}
    DELETE /simulator/faults
    POST   /simulator/<knob>   {arguments}     for each name in KNOBS

It needs the administrator's token. In the same process use the `Simulator` object itself.
"""

import inspect
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from deploy.local.kubernetes.cluster import Cluster
from deploy.local.kubernetes_simulated.apiserver.faults import Fault, Faults, Which
from deploy.local.kubernetes_simulated.objects.status import bad_request
from deploy.local.processes.plain_http import plain_client

PATH = "/simulator/"

Knob = Callable[..., Any]


class Panel:
    """Answers the requests under `PATH`."""

    def __init__(self, faults: Faults, knobs: dict[str, Knob]) -> None:
        self._faults = faults
        self._knobs = knobs

    async def handle(self, method: str, path: str, body: Any) -> web.Response:
        name = path.removeprefix(PATH)
        if name == "faults":
            if method == "DELETE":
                self._faults.clear()
            else:
                self._faults.add(_fault(body))
            return web.Response(status=204)
        if name not in self._knobs:
            raise bad_request(f"no knob is called {name}; there are {', '.join(sorted(self._knobs))}")
        result = self._knobs[name](**(body or {}))
        if inspect.isawaitable(result):
            await result
        return web.Response(status=204)


def _fault(body: Any) -> Fault:
    try:
        settings = {"times": 1, **body}
        return Fault(**{**settings, "which": Which(**settings.get("which", {}))})
    except TypeError as error:
        raise bad_request(f"no fault can be made of this: {error}") from error


class RemoteKnobs:
    """The client's side."""

    def __init__(self, cluster: Cluster) -> None:
        self._url = cluster.url + PATH
        self._headers = {"Authorization": f"Bearer {cluster.token}"}

    async def turn(self, knob: str, **arguments: Any) -> None:
        """Call a knob of the simulator by name."""
        await self._send("POST", knob, arguments)

    async def fault(self, action: str, *, which: dict[str, str] | None = None, **settings: Any) -> None:
        """Order a fault; `settings` are the fields of `Fault`."""
        await self._send("POST", "faults", {"action": action, "which": which or {}, **settings})

    async def clear_faults(self) -> None:
        await self._send("DELETE", "faults", None)

    async def _send(self, method: str, name: str, body: Any) -> None:
        content = None if body is None else orjson.dumps(body)
        async with plain_client(timeout=30) as client:
            answer = await client.request(method, self._url + name, headers=self._headers, content=content)
            answer.raise_for_status()
