"""The last state of a deleted pod in a watch. `tests/kubelet/test_pod_ends.py` holds a real kubelet to the same."""

import pytest

from tests.support.kubernetes.pod_contract import last_seen
from tests.support.kubernetes.raw import Raw


@pytest.mark.parametrize("containers", [1, 3])
async def test_a_deleted_pod_goes_with_the_report_of_all_its_containers(api: Raw, containers: int) -> None:
    pod = await last_seen(api, "deleted", containers=containers)
    assert (pod.stopped, pod.doubt, len(pod.containers)) == (True, None, containers)


async def test_a_pod_deleted_by_force_goes_without_a_report(api: Raw) -> None:
    pod = await last_seen(api, "forced", forced=True)
    assert (pod.stopped, pod.doubt, pod.containers) == (False, "forced", ())


async def test_a_pod_with_a_grace_period_of_zero_goes_without_a_report(api: Raw) -> None:
    pod = await last_seen(api, "zero", grace=0)
    assert (pod.stopped, pod.doubt, pod.containers) == (False, "grace_zero", ())
