"""Handles for a broker and a cluster of the user. Nothing is started or stopped."""

import base64
from pathlib import Path
from typing import Any

import yaml

from deploy.local.errors import StandError
from deploy.local.kafka.broker import Kafka
from deploy.local.kubernetes.cluster import Cluster


def given_kafka(bootstrap_servers: str) -> Kafka:
    return Kafka(bootstrap_servers=bootstrap_servers, kind="given")


def given_cluster(kubeconfig: Path, directory: Path) -> Cluster:
    """The cluster of the kubeconfig's current context; certificates inside the file are written into `directory`."""
    try:
        document = yaml.safe_load(kubeconfig.read_text())
        context = _named(document["contexts"], document["current-context"])["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document["users"], context["user"])["user"]
    except (OSError, KeyError, TypeError, StopIteration, yaml.YAMLError) as error:
        raise StandError("bad_kubeconfig", f"{kubeconfig} has no usable current context: {error!r}") from error
    ca_path = Path(cluster["certificate-authority"]) if "certificate-authority" in cluster else None
    if "certificate-authority-data" in cluster:
        ca_path = directory / "given-cluster-ca.crt"
        ca_path.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    # Users without a token (client certificates, plugins) are reached through the kubeconfig alone.
    token = str(user.get("token", ""))
    return Cluster(kubeconfig=kubeconfig, url=str(cluster["server"]), token=token, ca_path=ca_path, kind="given")


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)
