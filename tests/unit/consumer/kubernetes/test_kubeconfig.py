"""A kubeconfig that cannot be used is refused with the field that is wrong, before anything connects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluation_cancel.consumer.kubernetes.kubeconfig import KubeconfigError, check_kubeconfig

GOOD: dict[str, Any] = {
    "current-context": "main",
    "contexts": [{"name": "main", "context": {"cluster": "far", "user": "ada"}}],
    "clusters": [{"name": "far", "cluster": {"server": "https://far.example"}}],
    "users": [{"name": "ada", "user": {"token": "secret-token"}}],
}


def written(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(GOOD | changes))
    return path


def user(**fields: Any) -> dict[str, Any]:
    return {"users": [{"name": "ada", "user": fields}]}


def cluster(**fields: Any) -> dict[str, Any]:
    return {"clusters": [{"name": "far", "cluster": {"server": "https://far.example"} | fields}]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        user(exec={"command": "aws", "apiVersion": "client.authentication.k8s.io/v1"}),
        user(username="u", password="p"),
        user(**{"auth-provider": {"name": "oidc"}}),
        user(**{"client-certificate-data": "eA==", "client-key-data": "eA=="}),
        cluster(**{"proxy-url": "http://proxy", "tls-server-name": "other", "certificate-authority-data": "eA=="}),
    ],
)
def test_what_is_supported_is_no_mistake(tmp_path: Path, changes: dict[str, Any]) -> None:
    check_kubeconfig(written(tmp_path, **changes), None)
    check_kubeconfig(written(tmp_path, **changes), "main")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"current-context": None}, "no current-context"),
        ({"current-context": "other"}, "no context 'other', but main"),
        ({"contexts": []}, "no context 'main', but none"),
        ({"clusters": []}, r"contexts\[main\].cluster is 'far', which is not among"),
        ({"users": []}, r"contexts\[main\].user is 'ada', which is not among"),
        (cluster(server="far.example"), r"clusters\[far\].server is no https"),
        (
            cluster(**{"certificate-authority": "ca.pem"}),
            r"certificate-authority is a file that does not exist: ca.pem",
        ),
        (user(), r"users\[ada\] has no credentials; it needs one of token"),
        (user(tokenFile="/no/such/token"), "tokenFile is a file that does not exist: /no/such/token"),
        (user(token="t", **{"as": "root"}), r"users\[ada\] impersonates \(as\)"),
        (user(token="t", **{"as-groups": ["system:masters"]}), r"impersonates \(as-groups\)"),
        (user(**{"auth-provider": {"name": "azure"}}), "auth-provider is 'azure'; supported are oidc"),
        (user(**{"client-certificate-data": "eA=="}), "a client certificate without its key"),
        (user(exec={"apiVersion": "v1"}), r"users\[ada\].exec has no command"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(KubeconfigError, match=said) as raised:
        check_kubeconfig(path, None)
    assert str(path) in str(raised.value)
    assert "secret-token" not in str(raised.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match=r"server is no https.*has no credentials"):
        check_kubeconfig(written(tmp_path, **cluster(server="x"), **user()), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "is not YAML at line"), ("- 1", "is list"), ("", "is NoneType"), (None, "cannot be read")],
)
def test_a_file_that_is_no_kubeconfig_is_told_as_that(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KubeconfigError, match=said):
        check_kubeconfig(path, None)
