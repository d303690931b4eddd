"""The last state of a deleted pod in a watch, with the simulated kubelet and with KWOK."""

from tests.support.kubernetes.pod_contract import (
    test_a_deleted_pod_goes_with_the_report_of_all_its_containers,
    test_a_pod_deleted_by_force_goes_without_a_report,
    test_a_pod_with_a_grace_period_of_zero_goes_without_a_report,
)

__all__ = [
    "test_a_deleted_pod_goes_with_the_report_of_all_its_containers",
    "test_a_pod_deleted_by_force_goes_without_a_report",
    "test_a_pod_with_a_grace_period_of_zero_goes_without_a_report",
]
