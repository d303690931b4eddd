"""Reads the credentials of a kubeconfig, at the start and whenever the API server no longer takes them.

What the client library lacks: a time limit for exec plug-ins, tokens without white space around them, a renewed client
certificate that reaches the connections, and certificates in the kubeconfig that need no writable folder.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import OrderedDict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evaluation_cancel.consumer.kubernetes.kubeconfig import KubeconfigError, check_kubeconfig
from evaluation_cancel.schemas.programs import ProgramError, printed_by

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, Configuration

_PLUGIN_LIMIT: Final = 15.0
"""Seconds for an exec plug-in. `aws eks get-token` and its like take about one."""
_LIMIT: Final = 20.0
"""Seconds for all of it; an OIDC provider may be asked."""
_MOST_FILES: Final = 64


class Credentials:
    """Those of one cluster."""

    def __init__(self, path: Path, context: str | None, configuration: Configuration) -> None:
        self._path = path
        self._context = context
        self._configuration = configuration

    async def read(self) -> None:
        """Put them into the configuration. Raises `KubeconfigError`, or the library's error."""
        from kubernetes_asyncio.config import load_kube_config  # noqa: PLC0415  # slow to import

        _install()
        check_kubeconfig(self._path, self._context)
        try:
            async with asyncio.timeout(_LIMIT):
                await load_kube_config(
                    config_file=str(self._path),
                    context=self._context,
                    client_configuration=self._configuration,
                    persist_config=False,
                )
        except TimeoutError:
            raise KubeconfigError(f"the credentials of {self._path} were not there after {_LIMIT:g} s") from None
        strip_token(self._configuration)

    async def renew(self, client: ApiClient) -> None:
        """Read them again; new connections use the certificates of then."""
        await self.read()
        connector: Any = client.rest_client.pool_manager.connector
        context = connector._ssl  # noqa: SLF001
        if self._configuration.cert_file:
            context.load_cert_chain(self._configuration.cert_file, keyfile=self._configuration.key_file)
        if self._configuration.ssl_ca_cert:
            context.load_verify_locations(self._configuration.ssl_ca_cert)


def strip_token(configuration: Configuration) -> None:
    """A file's last line break is no part of the token, and no header can hold it."""
    token = configuration.api_key.get("BearerToken")
    if token is not None:
        kind, _, secret = token.partition(" ")
        configuration.api_key["BearerToken"] = f"{kind} {secret.strip()}"


def _install() -> None:
    """Put our plug-in runner and files into the library. Harmless when called again."""
    library: Any = import_module("kubernetes_asyncio.config.kube_config")  # slow to import

    class LimitedExecProvider(library.ExecProvider):  # type: ignore[misc]
        """Kills a plug-in that does not end."""

        async def run(self, _previous_response: str | None = None) -> Any:
            info = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
            environment = {**self.env, "KUBERNETES_EXEC_INFO": json.dumps(info)}
            return await run_plugin(self.args, environment, self.api_version)

    if library.ExecProvider.__name__ != LimitedExecProvider.__name__:
        library.ExecProvider = LimitedExecProvider
    if hasattr(os, "memfd_create"):
        library.FileOrData._create_temp_file_with_content = lambda _, content: _FILES.path(content)  # noqa: SLF001


async def run_plugin(
    command: list[str], environment: dict[str, str], api_version: str, *, limit: float = _PLUGIN_LIMIT
) -> Any:
    """The `status` that an exec plug-in prints. Raises `KubeconfigError`; a plug-in that takes too long is killed."""
    try:
        printed = await printed_by(command, limit=limit, environment=environment)
    except ProgramError as error:
        raise KubeconfigError(f"the exec plug-in {error}") from None
    return _status(command[0], printed, api_version)


def _status(name: str, printed: bytes, api_version: str) -> Any:
    try:
        answer = json.loads(printed)
        version, status = answer["apiVersion"], answer["status"]
    except (ValueError, KeyError, TypeError):
        raise KubeconfigError(f"the exec plug-in {name!r} printed no ExecCredential") from None
    if version != api_version:
        raise KubeconfigError(f"the exec plug-in {name!r} speaks {version!r}, the kubeconfig says {api_version!r}")
    return status


class _MemoryFiles:
    """Files without a folder, for what OpenSSL takes from files only. The oldest are given up."""

    def __init__(self) -> None:
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def path(self, content: str | bytes) -> str:
        raw = content.encode() if isinstance(content, str) else content
        file = self._open.pop(raw, None)
        if file is None:
            file = os.memfd_create("kubeconfig")
            os.write(file, raw)
        self._open[raw] = file
        while len(self._open) > _MOST_FILES:
            os.close(self._open.popitem(last=False)[1])
        return f"/proc/self/fd/{file}"


_FILES: Final = _MemoryFiles()
