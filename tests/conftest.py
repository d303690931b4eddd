"""Loads the fixtures of `tests/support` for every test. A part of the stand starts when a test first needs it.

Tests marked `real` need parts that can be killed and restarted, or behaviour that the in-memory parts lack. On other
stacks they are deselected, and the header of the run names the command that runs them.
"""

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.support")
from tests.support.stacks import chosen_stack  # noqa: E402  # after the registration

pytest_plugins = ("tests.support.environment", "tests.support.consumer.postgres_env")

# On a busy machine any example can be slow.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_left_out = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Tests on a kubelet run with `make test-kubelet` only, which names their folder.
    others = [item for item in items if item.get_closest_marker("kubelet") and chosen_stack() != "kubelet"]
    items[:] = [item for item in items if item not in others]
    if chosen_stack() == "real":
        return
    real = [item for item in items if item.get_closest_marker("real")]
    items[:] = [item for item in items if item not in real]
    config.stash[_left_out] = len(real)
    config.hook.pytest_deselected(items=real)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    left_out = config.stash.get(_left_out, 0)
    where = f"TEST_STACK={chosen_stack()}"
    if not left_out:
        return [where]
    return [f"{where}: {left_out} tests need real parts and are left out; TEST_STACK=real (make test-real) runs them"]
