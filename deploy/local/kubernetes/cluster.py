"""The handle of a Kubernetes cluster, of the stand or of the user, and its kubeconfig.

It starts nothing: see `kubernetes_simulated`, `kubernetes_real` and `kubernetes_kubelet`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

NODE = "node-0"
"""The first node of a cluster of the stand. Only the cluster with a kubelet has a scheduler: elsewhere a pod that names
no node stays Pending."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Where the API server is and how an administrator reaches it."""

    kubeconfig: Path
    url: str
    token: str
    ca_path: Path | None
    kind: Literal["simulated", "real", "kubelet", "given"]


def read_token(kubeconfig: Path) -> str | None:
    """The token in a kubeconfig made by `write_kubeconfig`; None if there is no such file."""
    if not kubeconfig.exists():
        return None
    return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])


def write_kubeconfig(path: Path, *, url: str, token: str, ca_path: Path | None = None) -> Path:
    """Write a kubeconfig with one cluster, one user and one context, all named `local`."""
    cluster: dict[str, Any] = {"server": url}
    if ca_path is not None:
        cluster["certificate-authority"] = str(ca_path)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "local", "user": {"token": token}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local", "namespace": "default"}}],
        "current-context": "local",
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    path.chmod(0o600)
    return path
