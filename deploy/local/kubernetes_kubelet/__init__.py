"""A Kubernetes cluster with real kubelets on one machine: its pods are real processes.

`tools.py` says what the machine must have, `build.py` builds kubelet and scheduler from `go/`, `image.py` packs the one
image. A node (`node.py`) is a container runtime (`containerd.py`) and a kubelet (`kubelet.py`); `cluster.py` starts
nodes and scheduler (`scheduler.py`) beside a real control plane.
"""
