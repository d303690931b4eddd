"""Where things are on a running stand, for programs that act on it: from the system itself, or from the environment.

`python -m deploy.local up` writes the environment into a file; a shell that has sourced it can run the same programs.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.local.errors import StandError
from deploy.local.stand.system import System
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX

_NAMESPACE = "STAND_NAMESPACE"
_NODE = "STAND_NODE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """What an orchestrator has to reach."""

    dsn: str
    kubeconfig: Path
    namespace: str
    node: str | None
    """The node its pods have to name; None where there is a scheduler."""
    s3_endpoint_url: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str

    @classmethod
    def of(cls, running: System) -> Self:
        stack = running.stack
        return cls(
            dsn=running.dsn,
            kubeconfig=stack.cluster.kubeconfig,
            namespace=running.namespace,
            node=stack.node,
            s3_endpoint_url=stack.s3.endpoint_url,
            s3_access_key=stack.s3.access_key,
            s3_secret_key=stack.s3.secret_key,
            s3_region=stack.s3.region,
        )

    @classmethod
    def from_environment(cls) -> Self:
        try:
            return cls(
                dsn=os.environ[f"{ENVIRONMENT_PREFIX}POSTGRES_DSN"],
                kubeconfig=Path(os.environ["KUBECONFIG"]),
                namespace=os.environ[_NAMESPACE],
                node=os.environ[_NODE] or None,
                s3_endpoint_url=os.environ[f"{ENVIRONMENT_PREFIX}S3_ENDPOINT_URL"],
                s3_access_key=os.environ["AWS_ACCESS_KEY_ID"],
                s3_secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
                s3_region=os.environ[f"{ENVIRONMENT_PREFIX}S3_REGION"],
            )
        except KeyError as error:
            text = f"{error.args[0]} is not set; source the environment.sh that `python -m deploy.local up` has printed"
            raise StandError("no_stand", text) from None


def write_environment(running: System, path: Path, further: Mapping[str, str]) -> None:
    """A file for other shells: the settings, and this Python's programs first on the path."""
    values = {
        **running.environment,
        "KUBECONFIG": str(running.stack.cluster.kubeconfig),
        _NAMESPACE: running.namespace,
        _NODE: running.stack.node or "",
        **further,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
