"""A Kubernetes cluster with a real kubelet on one machine: its pods are real processes.

`tools.py` says what the machine must have, `build.py` builds kubelet and scheduler from `go/`, `image.py` packs the one
image, `node.py` describes the programs of the node, `cluster.py` starts all of it beside a real control plane.
"""
