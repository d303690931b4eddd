"""What a test run says of itself: which stand it is for, what it leaves out, why it cannot start."""

import os
import subprocess
import sys

import pytest

from tests.support.stacks import chosen_stack

REAL_TESTS = "tests/integration/deploy/local/test_kafka_real.py"
ANY_TEST = "tests/integration/test_strangers.py"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=110, check=False
    )


def test_tests_of_real_parts_are_left_out_elsewhere_and_the_run_says_so() -> None:
    told = run("--collect-only", REAL_TESTS, TEST_STACK="memory").stdout
    assert "need real parts and are left out; TEST_STACK=real (make test-real) runs them" in told
    assert "test_a_killed_broker" not in told
    assert "skipped" not in told


def test_without_docker_a_run_on_containers_fails_with_one_sentence_and_skips_nothing() -> None:
    told = run(ANY_TEST, TEST_STACK="containers", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert told.returncode == 1
    said = told.stdout + told.stderr
    assert said.count("docker_missing: a stand of containers needs a Docker daemon") == 1
    assert "skipped" not in said


def test_without_java_a_run_on_real_parts_fails_with_one_sentence() -> None:
    told = run(ANY_TEST, TEST_STACK="real", JAVA_HOME="/nowhere")
    assert told.returncode == 1
    said = told.stdout + told.stderr
    assert said.count("java_missing: real Kafka needs Java 17 or newer") == 1
    assert "skipped" not in said


def test_a_misspelt_stack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_STACK", "memroy")
    with pytest.raises(pytest.UsageError, match="memory, real, kubelet, containers"):
        chosen_stack()
