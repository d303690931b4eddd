"""Checks a kubeconfig before anything connects, so that a mistake is told with its place in the file.

The client library passes over what it does not know: without this, a user that does not exist means requests without
credentials, and an impersonation means requests as somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from evaluation_cancel.consumer.domain.errors import Refusal

_PROVIDERS: Final = ("oidc", "gcp")
_IMPERSONATION: Final = ("as", "as-uid", "as-groups", "as-user-extra")
_CREDENTIALS: Final = ("token", "tokenFile", "client-certificate", "client-certificate-data", "exec", "auth-provider")


class KubeconfigError(Refusal):
    """A kubeconfig that cannot be used. The text names file and field."""

    def __init__(self, detail: str) -> None:
        super().__init__("kubeconfig_unusable", detail)


def check_kubeconfig(path: Path, context: str | None) -> None:
    """Raises `KubeconfigError` with everything that is wrong with the context, or with the current one."""
    document = _read(path)
    problems = list(_problems(document, context, path.parent))
    if problems:
        raise KubeconfigError(f"kubeconfig {path}: {'; '.join(problems)}")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"kubeconfig {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise KubeconfigError(f"kubeconfig {path} is not YAML{place}") from None
    if not isinstance(document, dict):
        raise KubeconfigError(f"kubeconfig {path} is {type(document).__name__}, not a mapping")
    return document


def _problems(document: Mapping[str, Any], context: str | None, folder: Path) -> Iterator[str]:
    name = context or document.get("current-context")
    if not name:
        yield "it has no current-context; name one in the cluster's settings"
        return
    chosen = _entry(document, "contexts", "context", name)
    if chosen is None:
        known = ", ".join(sorted(_names(document, "contexts"))) or "none"
        yield f"it has no context {name!r}, but {known}"
        return
    cluster = _entry(document, "clusters", "cluster", chosen.get("cluster"))
    user = _entry(document, "users", "user", chosen.get("user"))
    if cluster is None:
        yield f"contexts[{name}].cluster is {chosen.get('cluster')!r}, which is not among the clusters"
    else:
        yield from _of_cluster(cluster, f"clusters[{chosen['cluster']}]", folder)
    if user is None:
        yield f"contexts[{name}].user is {chosen.get('user')!r}, which is not among the users"
    else:
        yield from _of_user(user, f"users[{chosen['user']}]", folder)


def _of_cluster(cluster: Mapping[str, Any], where: str, folder: Path) -> Iterator[str]:
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith(("https://", "http://")):
        yield f"{where}.server is no https:// address"
    yield from _missing_files(cluster, where, folder, ("certificate-authority",))


def _of_user(user: Mapping[str, Any], where: str, folder: Path) -> Iterator[str]:
    used = [each for each in _IMPERSONATION if user.get(each)]
    if used:
        yield f"{where} impersonates ({', '.join(used)}), which is not supported"
    provider = (user.get("auth-provider") or {}).get("name")
    if provider is not None and provider not in _PROVIDERS:
        yield f"{where}.auth-provider is {provider!r}; supported are {', '.join(_PROVIDERS)}. Use an exec plug-in"
    has_password = bool(user.get("username")) and bool(user.get("password"))
    if not has_password and not any(user.get(each) for each in _CREDENTIALS):
        yield f"{where} has no credentials; it needs one of {', '.join(_CREDENTIALS)}, or username and password"
    if bool(user.get("client-certificate") or user.get("client-certificate-data")) != bool(
        user.get("client-key") or user.get("client-key-data")
    ):
        yield f"{where} has a client certificate without its key, or a key without its certificate"
    if user.get("exec") is not None and not (user["exec"] or {}).get("command"):
        yield f"{where}.exec has no command"
    yield from _missing_files(user, where, folder, ("client-certificate", "client-key", "tokenFile"))


def _missing_files(entry: Mapping[str, Any], where: str, folder: Path, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        file = entry.get(name)
        if file and not entry.get(f"{name}-data") and not (folder / str(file)).is_file():
            yield f"{where}.{name} is a file that does not exist: {file}"


def _entry(document: Mapping[str, Any], kind: str, field: str, name: object) -> Mapping[str, Any] | None:
    for each in document.get(kind) or ():
        if isinstance(each, dict) and each.get("name") == name:
            found = each.get(field)
            return found if isinstance(found, dict) else {}
    return None


def _names(document: Mapping[str, Any], kind: str) -> list[str]:
    return [str(each.get("name")) for each in document.get(kind) or () if isinstance(each, dict)]
