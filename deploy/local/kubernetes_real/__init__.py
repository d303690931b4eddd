"""A real Kubernetes API on one machine without containers.

`build.py` builds one binary from `go/` and caches it, `parts.py` describes its four programs, `cluster.py` starts them
as a cluster. Jobs, pods, watches and RBAC are real; KWOK plays the kubelets by `stages.yaml`, so no container runs.
"""

from pathlib import Path

STAGES = Path(__file__).parent / "stages.yaml"
"""The KWOK configuration: how nodes become ready and how pods run, finish and terminate."""
