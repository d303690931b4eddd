"""What the stand itself asks of a Kubernetes API, as its administrator: a node, namespaces, accounts with few rights.

It works on any cluster a kubeconfig leads to, simulated or real. The system under test does not use it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, CoreV1Api, RbacAuthorizationV1Api

from deploy.local.kubernetes.cluster import Cluster, write_kubeconfig

Rule = Mapping[str, Sequence[str]]
"""One rule of a Role: `apiGroups`, `resources`, `verbs` and so on."""

CONSUMER_RULES: tuple[Rule, ...] = (
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
)
"""What the consumer needs and no more."""

ADMINISTRATOR_RULES: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)


@asynccontextmanager
async def administrator(cluster: Cluster) -> AsyncIterator[ApiClient]:
    """A client with the rights of the cluster's kubeconfig."""
    client = await config.new_client_from_config(config_file=str(cluster.kubeconfig))
    async with client:
        yield client


# The client's methods take plain dictionaries as well as their models, which only their types do not know.


async def create_node(client: ApiClient, name: str) -> None:
    await CoreV1Api(client).create_node(_named(name))


async def delete_node(client: ApiClient, name: str) -> None:
    await CoreV1Api(client).delete_node(name)


async def node_is_ready(client: ApiClient, name: str) -> bool:
    node = await CoreV1Api(client).read_node(name)
    return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or [])


async def create_namespace(client: ApiClient, name: str) -> None:
    await CoreV1Api(client).create_namespace(_named(name))


async def delete_namespace(client: ApiClient, name: str) -> None:
    """Delete it without waiting for its end."""
    await CoreV1Api(client).delete_namespace(name)


async def with_rights(
    cluster: Cluster,
    directory: Path,
    name: str,
    rules: Sequence[Rule] = CONSUMER_RULES,
    *,
    namespace: str = "default",
    all_namespaces: bool = True,
) -> Cluster:
    """The same cluster seen by a service account that may do what `rules` say, everywhere or in its namespace only.

    Its kubeconfig is written into `directory`.
    """
    async with administrator(cluster) as client:
        core, rbac = CoreV1Api(client), RbacAuthorizationV1Api(client)
        await core.create_namespaced_service_account(namespace, _named(name))
        request: Any = {"spec": {"audiences": []}}
        role, binding = _grant(name, rules, namespace, "ClusterRole" if all_namespaces else "Role")
        if all_namespaces:
            await rbac.create_cluster_role(role)
            await rbac.create_cluster_role_binding(binding)
        else:
            await rbac.create_namespaced_role(namespace, role)
            await rbac.create_namespaced_role_binding(namespace, binding)
        answer = await core.create_namespaced_service_account_token(name, namespace, request)
    token = str(answer.status.token)
    path = directory / f"kubeconfig-{namespace}-{name}"
    write_kubeconfig(path, url=cluster.url, token=token, ca_path=cluster.ca_path)
    return replace(cluster, kubeconfig=path, token=token)


def _named(name: str) -> Any:
    return {"metadata": {"name": name}}


def _grant(name: str, rules: Sequence[Rule], namespace: str, kind: str) -> tuple[Any, Any]:
    metadata = {"name": f"{namespace}-{name}"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": metadata["name"]}
    role = {"metadata": metadata, "rules": [dict(rule) for rule in rules]}
    return role, {"metadata": metadata, "roleRef": reference, "subjects": [subject]}
