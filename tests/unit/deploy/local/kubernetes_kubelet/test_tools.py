"""A machine that cannot run a kubelet is told everything that it lacks, at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from deploy.local.errors import StandError
from deploy.local.kubernetes_kubelet.containerd import pod_network
from deploy.local.kubernetes_kubelet.tools import check_tools

LINUX_ROOT = sys.platform == "linux" and os.geteuid() == 0


def missing(tmp_path: Path, busybox: bytes | None = None) -> str:
    """What is said to be missing on a machine with no program but this busybox."""
    program = tmp_path / "busybox"
    if busybox is not None:
        program.write_bytes(busybox)

    def which(name: str) -> str | None:
        return str(program) if name == "busybox" and busybox is not None else None

    with pytest.raises(StandError) as raised:
        check_tools(which=which, folders=(tmp_path / "cni",), cgroups=tmp_path / "nowhere")
    return str(raised.value)


def test_everything_that_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    said = missing(tmp_path)
    for each in ("cgroups", "containerd (Debian: containerd)", "runc", "busybox-static", "containernetworking-plugins"):
        assert each in said


def test_a_busybox_with_shared_libraries_cannot_be_the_only_file_of_an_image(tmp_path: Path) -> None:
    assert "without shared libraries" in missing(tmp_path, b"\x7fELF" + b"\0" * 600 + b"/lib64/ld-linux-x86-64.so.2\0")
    assert "without shared libraries" not in missing(tmp_path, b"\x7fELF" + b"\0" * 6000)


@pytest.mark.skipif(not LINUX_ROOT, reason="only root on Linux can have all of it")
def test_a_machine_with_all_of_it_answers_with_the_folder_of_the_plugins(tmp_path: Path) -> None:
    for name in ("ptp", "host-local", "loopback", "program"):
        (tmp_path / name).write_bytes(b"\x7fELF")
    found = check_tools(which=lambda _: str(tmp_path / "program"), folders=(tmp_path,), cgroups=tmp_path)
    assert found == tmp_path


def test_nodes_with_neighbouring_ports_get_networks_of_their_own() -> None:
    networks = {pod_network(port) for port in range(20000, 36384)}
    assert len(networks) == 16384
    assert all(64 <= int(each.split(".")[1]) < 128 for each in networks)
