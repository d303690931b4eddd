"""Connects to a Kubernetes cluster: from a kubeconfig file, or with the service account of the pod this runs in.

Only reads credentials; whether the server can be reached is found out by the first call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from evaluation_cancel.consumer.kubernetes.client import KubernetesCalls
from evaluation_cancel.consumer.kubernetes.jobs import KubernetesJobs

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, Configuration

_LONGEST_LINE = 2**21
"""Bytes of a watch's event, above etcd's 1.5 MiB for an object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterAccess:
    """How to reach one cluster."""

    kubeconfig: Path | None = None
    """None: the service account of this pod."""
    context: str | None = None
    """None: the kubeconfig's current one."""
    namespaces: tuple[str, ...] = ()
    """Where evaluations run; none means all, if rights allow."""
    call_timeout: float = 10.0
    """Seconds for one call, its answer read to the end."""
    connect_timeout: float = 3.0
    calls_in_flight: int = 32
    disable_strict_ssl_verification: bool = False
    """Accept certificate authorities without the extensions that Python 3.13 demands, as old EKS ones are."""


async def connect(access: ClusterAccess) -> KubernetesJobs:
    """Must be called within the event loop that will use it."""
    # Loads some hundred models, which a process without clusters need not wait for.
    from kubernetes_asyncio.client import ApiClient, Configuration  # noqa: PLC0415

    configuration = Configuration()
    configuration.disable_strict_ssl_verification = access.disable_strict_ssl_verification
    # The watches hold connections of their own beside the calls.
    configuration.connection_pool_maxsize = access.calls_in_flight + 16
    renew = await _load(access, configuration)
    configuration.proxy = configuration.proxy or _proxy_in_environment(str(configuration.host))
    client = ApiClient(configuration)
    _without_environment(client)
    calls = KubernetesCalls(
        client,
        timeout=access.call_timeout,
        connect_timeout=access.connect_timeout,
        renew=renew,
    )
    return KubernetesJobs(calls, access.namespaces)


async def _load(access: ClusterAccess, configuration: Configuration) -> Callable[[], Awaitable[None]] | None:
    from kubernetes_asyncio.config import load_incluster_config, load_kube_config  # noqa: PLC0415  # as above

    if access.kubeconfig is None:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        return None  # that one renews its token by itself
    path, context = str(access.kubeconfig), access.context

    async def read() -> None:
        await load_kube_config(
            config_file=path, context=context, client_configuration=configuration, persist_config=False
        )

    await read()
    return read


def _proxy_in_environment(address: str) -> str | None:
    url = urlsplit(address)
    if url.hostname is None or proxy_bypass(url.hostname):
        return None
    return getproxies().get(url.scheme)


def _without_environment(client: ApiClient) -> None:
    """Keeps aiohttp from asking the environment and ~/.netrc again for every request.

    That cost a third of this process's CPU, and an entry there that fits the API server made every call fail.
    """
    rest = client.rest_client
    asking = rest.pool_manager
    rest.pool_manager = aiohttp.ClientSession(connector=asking.connector, read_bufsize=_LONGEST_LINE)
    asking.detach()
