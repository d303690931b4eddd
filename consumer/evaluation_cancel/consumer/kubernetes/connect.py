"""Opens the client of one Kubernetes cluster, from a kubeconfig file or the service account of this pod.

Reads credentials only: the first call finds out whether the server can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL
from evaluation_cancel.consumer.kubernetes.client import KubernetesCalls
from evaluation_cancel.consumer.kubernetes.credentials import Credentials, strip_token
from evaluation_cancel.consumer.kubernetes.jobs import KubernetesJobs
from evaluation_cancel.consumer.kubernetes.kubeconfig import KubeconfigError

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, Configuration

_LONGEST_LINE = 2**21
"""Bytes of one watch event, above etcd's limit of 1.5 MiB for an object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterAccess:
    """How to reach one cluster."""

    kubeconfig: Path | None = None
    """None: the service account of this pod."""
    context: str | None = None
    """None: the current context of the kubeconfig."""
    namespaces: tuple[str, ...] = ()
    """Namespaces with evaluations. None means all, which needs rights in all."""
    call_timeout: float = 10.0
    """Seconds for one call, including its whole answer."""
    connect_timeout: float = 3.0
    """Seconds to connect."""
    calls_in_flight: int = 32
    disable_strict_ssl_verification: bool = False
    """Accept certificate authorities without the extensions that Python 3.13 demands, such as those of old EKS."""
    evaluation_label: str = EVALUATION_LABEL


async def connect(access: ClusterAccess) -> KubernetesJobs:
    """Open the client. Call it in the event loop that will use the client, and close the result.

    Raises `KubeconfigError`, or the client library's error, when the credentials cannot be read.
    """
    # Slow to import, and a process without clusters does not need it.
    from kubernetes_asyncio.client import ApiClient, Configuration  # noqa: PLC0415

    configuration = Configuration()
    configuration.disable_strict_ssl_verification = access.disable_strict_ssl_verification
    # Watches need connections beside those of the calls.
    configuration.connection_pool_maxsize = access.calls_in_flight + 16
    credentials = await _load(access, configuration)
    configuration.proxy = configuration.proxy or _proxy_in_environment(str(configuration.host))
    client = ApiClient(configuration)
    _without_environment(client)
    calls = KubernetesCalls(
        client,
        timeout=access.call_timeout,
        connect_timeout=access.connect_timeout,
        renew=None if credentials is None else partial(credentials.renew, client),
    )
    return KubernetesJobs(calls, access.namespaces, label=access.evaluation_label)


async def _load(access: ClusterAccess, configuration: Configuration) -> Credentials | None:
    from kubernetes_asyncio.config import ConfigException, load_incluster_config  # noqa: PLC0415  # as above

    if access.kubeconfig is not None:
        credentials = Credentials(access.kubeconfig, access.context, configuration)
        await credentials.read()
        return credentials
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise KubeconfigError(f"no kubeconfig is named, and this is no pod with a service account: {error}") from None
    _strip_each_token(configuration)
    return None  # renews its token by itself


def _strip_each_token(configuration: Configuration) -> None:
    renew: Any = configuration.refresh_api_key_hook

    def renew_and_strip(current: Configuration, *_: object) -> None:
        if renew is not None:
            renew(current)
        strip_token(current)

    configuration.refresh_api_key_hook = renew_and_strip
    strip_token(configuration)


def _proxy_in_environment(address: str) -> str | None:
    url = urlsplit(address)
    if url.hostname is None or proxy_bypass(url.hostname):
        return None
    return getproxies().get(url.scheme)


def _without_environment(client: ApiClient) -> None:
    """Stop aiohttp from reading proxies and ~/.netrc again for every request.

    The reading took a third of the CPU, and a matching entry in ~/.netrc made every call fail.
    """
    rest = client.rest_client
    original = rest.pool_manager
    rest.pool_manager = aiohttp.ClientSession(connector=original.connector, read_bufsize=_LONGEST_LINE)
    original.detach()
