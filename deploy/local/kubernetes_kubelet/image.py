"""Packs busybox as the one image of the node: of its pause containers and of every Job."""

import hashlib
import io
import json
import platform
import shutil
import tarfile
from pathlib import Path

PAUSE = "docker.io/library/pause:local"
_COMMANDS = ("sh", "sleep", "echo", "cat", "true", "false")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_image(path: Path, *names: str) -> None:
    """Write an archive as `ctr images import` reads it, with `PAUSE` and these names."""
    layer = _layer(Path(shutil.which("busybox") or "/bin/busybox"))
    config = json.dumps(
        {
            "architecture": _MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sleep", "2147483647"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [PAUSE, *names], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _add(archive, config_name, config)
        _add(archive, "layer.tar", layer)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _layer(busybox: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as layer:
        _add(layer, "bin/busybox", busybox.read_bytes(), mode=0o755)
        for command in _COMMANDS:
            link = tarfile.TarInfo(f"bin/{command}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            layer.addfile(link)
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))
