"""A real Kubernetes API on one machine without containers: `build.py` makes the binary, `cluster.py` runs it."""
