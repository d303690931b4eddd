"""Who may do what, and how a refusal looks."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.kubernetes.admin import CONSUMER_RULES, with_rights
from deploy.local.kubernetes.cluster import Cluster
from tests.support.kubernetes.raw import Raw, foreground, job, session_of

RBAC = "/apis/rbac.authorization.k8s.io/v1"
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"


@pytest.fixture
def user(api: Raw) -> str:
    """Somebody without any rights, whom the administrator can impersonate."""
    return f"user-{uuid.uuid4().hex[:8]}"


async def _as(api: Raw, user: str, method: str, path: str, body: Any = None) -> Any:
    return await api.call(method, path, body, headers={"Impersonate-User": user})


async def _grant(api: Raw, subject: dict[str, str], rules: list[dict[str, list[str]]]) -> None:
    path = f"{RBAC}/namespaces/{api.namespace}"
    await api.create(f"{path}/roles", {"metadata": {"name": "granted"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "granted"}
    binding = {"metadata": {"name": "granted"}, "roleRef": reference, "subjects": [subject]}
    await api.create(f"{path}/rolebindings", binding)


def _user(name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer", "Basic YTpi", ""])
async def test_without_a_good_token_it_is_401(api: Raw, header: str) -> None:
    answer = await api.call("GET", api.jobs, headers={"Authorization": header})
    assert answer.code == 401
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


async def test_a_user_without_rights_is_403_and_told_what_is_missing(api: Raw, user: str) -> None:
    created = await api.create_job("private", suspend=True)
    answer = await _as(api, user, "DELETE", f"{api.jobs}/private", foreground(created.uid))
    assert answer.code == 403
    assert answer.body["reason"] == "Forbidden"
    assert answer.body["message"] == (
        f'jobs.batch "private" is forbidden: User "{user}" cannot delete resource "jobs" in API group "batch" '
        f'in the namespace "{api.namespace}"'
    )
    assert answer.body["details"] == {"name": "private", "group": "batch", "kind": "jobs"}
    assert (await api.job("private")).code == 200


async def test_a_refused_list_names_no_object(api: Raw, user: str) -> None:
    answer = await _as(api, user, "GET", api.pods)
    assert answer.code == 403
    assert answer.body["message"] == (
        f'pods is forbidden: User "{user}" cannot list resource "pods" in API group "" '
        f'in the namespace "{api.namespace}"'
    )
    assert answer.body["details"] == {"kind": "pods"}


async def test_a_refusal_at_cluster_scope_says_so(api: Raw, user: str) -> None:
    answer = await _as(api, user, "GET", "/apis/batch/v1/jobs")
    assert answer.code == 403
    assert answer.body["message"].endswith('in API group "batch" at the cluster scope')


async def test_refusal_comes_before_absence(api: Raw, user: str) -> None:
    assert (await _as(api, user, "GET", f"{api.jobs}/absent")).code == 403


async def test_a_role_allows_its_verbs_on_its_resources_in_its_namespace_only(api: Raw, user: str) -> None:
    await _grant(api, _user(user), [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]}])
    await api.create_job("shared", suspend=True)
    await api.until(lambda: _code(api, user, f"{api.jobs}/shared"), 200)
    assert (await _as(api, user, "GET", api.jobs)).code == 200
    assert (await _as(api, user, "DELETE", f"{api.jobs}/shared")).code == 403
    assert (await _as(api, user, "GET", api.pods)).code == 403
    assert (await _as(api, user, "GET", "/apis/batch/v1/namespaces/default/jobs")).code == 403
    assert (await _as(api, user, "GET", f"{api.jobs}?watch=true")).code == 403


async def _code(api: Raw, user: str, path: str) -> int:
    return int((await _as(api, user, "GET", path)).code)


async def test_a_cluster_role_bound_in_a_namespace_counts_there(api: Raw, user: str) -> None:
    name = f"contract-{user}"
    rules = [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]}]
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [_user(user)]}
    await api.create(f"{RBAC}/namespaces/{api.namespace}/rolebindings", binding)
    await api.until(lambda: _code(api, user, api.jobs), 200)
    assert await _code(api, user, "/apis/batch/v1/jobs") == 403
    await api.call("DELETE", f"{RBAC}/clusterroles/{name}")


async def test_a_service_account_acts_with_its_token(api: Raw, cluster: Cluster) -> None:
    accounts = f"/api/v1/namespaces/{api.namespace}/serviceaccounts"
    await api.create(accounts, {"metadata": {"name": "consumer"}})
    subject = {"kind": "ServiceAccount", "name": "consumer", "namespace": api.namespace}
    await _grant(api, subject, [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "delete"]}])
    request = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}}
    token = (await api.create(f"{accounts}/consumer/token", request)).body["status"]["token"]
    async with session_of(cluster, token) as session:
        own = Raw(session, api.namespace)
        created = await api.create_job("its", suspend=True)
        await api.until(lambda: _own_code(own, "its"), 200)
        assert (await own.get(own.jobs)).code == 403
        assert (await own.delete_job("its", foreground(created.uid))).code == 200


async def _own_code(own: Raw, name: str) -> int:
    return (await own.job(name)).code


async def test_the_consumer_s_rules_are_enough_for_what_it_calls_and_for_no_more(
    api: Raw, cluster: Cluster, tmp_path: Path
) -> None:
    limited = await with_rights(cluster, tmp_path, f"consumer-{api.namespace}", CONSUMER_RULES)
    async with session_of(cluster, limited.token) as session:
        own = Raw(session, api.namespace)
        created = await api.running_job("its")
        await api.until(lambda: _own_code(own, "its"), 200)
        for path in (own.jobs, own.pods, "/apis/batch/v1/jobs", "/api/v1/pods"):
            assert (await own.get(path, limit="1")).code == 200, path
            async with own.watch(path, timeoutSeconds="1") as watch:
                assert watch
        assert (await own.call("POST", own.jobs, job("new"))).code == 403
        assert (await own.call("PATCH", f"{own.jobs}/its", {}, kind="application/merge-patch+json")).code == 403
        assert (await own.call("DELETE", own.jobs, {"propagationPolicy": "Background"})).code == 403
        (pod,) = (await own.get(own.pods)).names
        assert (await own.get(f"{own.pods}/{pod}")).code == 403
        assert (await own.call("DELETE", f"{own.pods}/{pod}")).code == 403
        assert (await own.delete_job("its", foreground(created.uid))).code == 200
        await api.until(lambda: api.is_gone(f"{own.jobs}/its"))


async def test_one_can_ask_what_one_may_do(api: Raw, user: str) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    wanted = {"verb": "delete", "group": "batch", "resource": "jobs", "namespace": api.namespace}
    review = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
    body = {**review, "spec": {"resourceAttributes": wanted}}
    mine, theirs = await api.create(path, body), await _as(api, user, "POST", path, body)
    assert mine.body["status"]["allowed"] is True
    assert theirs.body["status"]["allowed"] is False


async def test_a_throttled_user_gets_429_in_plain_text_with_retry_after(api: Raw, user: str) -> None:
    await _grant(api, _user(user), [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]}])
    await api.until(lambda: _code(api, user, api.jobs), 200)
    async with _throttled(api, user):
        answer = await api.until(lambda: _rejected(api, user))
        assert answer.body == "Too many requests, please try again later.\n"
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert (await api.get(api.jobs)).code == 200, "others are not throttled"


async def _rejected(api: Raw, user: str) -> Any:
    # Even a level without shares serves one request at a time.
    answers = await asyncio.gather(*(_as(api, user, "GET", api.jobs) for _ in range(30)))
    return next((answer for answer in answers if answer.code == 429), None)


@asynccontextmanager
async def _throttled(api: Raw, user: str) -> AsyncIterator[None]:
    name = f"none-{user}"
    limited = {
        "nominalConcurrencyShares": 0,
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": {"type": "Reject"},
    }
    await api.create(
        f"{FLOW}/prioritylevelconfigurations",
        {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": limited}},
    )
    rule = {
        "subjects": [{"kind": "User", "user": {"name": user}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
    }
    spec = {"matchingPrecedence": 2, "priorityLevelConfiguration": {"name": name}, "rules": [rule]}
    await api.create(f"{FLOW}/flowschemas", {"metadata": {"name": name}, "spec": spec})
    try:
        yield
    finally:
        await api.call("DELETE", f"{FLOW}/flowschemas/{name}")
        await api.call("DELETE", f"{FLOW}/prioritylevelconfigurations/{name}")
