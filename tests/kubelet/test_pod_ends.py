"""The last state of a deleted pod in a watch, with a real kubelet."""

import pytest

from tests.support.consumer.cluster_env import ClusterEnv
from tests.support.kubernetes.pod_contract import (
    test_a_deleted_pod_goes_with_the_report_of_all_its_containers,
    test_a_pod_deleted_by_force_goes_without_a_report,
    test_a_pod_with_a_grace_period_of_zero_goes_without_a_report,
)
from tests.support.kubernetes.raw import Raw

pytestmark = pytest.mark.kubelet

__all__ = [
    "test_a_deleted_pod_goes_with_the_report_of_all_its_containers",
    "test_a_pod_deleted_by_force_goes_without_a_report",
    "test_a_pod_with_a_grace_period_of_zero_goes_without_a_report",
]


@pytest.fixture
def api(cluster_env: ClusterEnv) -> Raw:
    """A client of the cluster with a kubelet."""
    return cluster_env.raw
