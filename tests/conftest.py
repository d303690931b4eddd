"""Every test sees the fixtures of `tests/support/environment.py`; nothing is started before one asks for it.

Tests marked `real` need parts that can be killed and started again, or rules the simulation does not have. On other
stacks they are not part of the run at all, and its header says how to run them.
"""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.stacks import chosen_stack

pytest_plugins = ("tests.support.environment", "tests.support.consumer.postgres_env")

# A busy machine makes any example slow, which says nothing of the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_left_out = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
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
