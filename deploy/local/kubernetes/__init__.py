"""What the simulated, the real and a user's own cluster share: a handle, a kubeconfig, administration.

Read `cluster.py` first, then `admin.py`. Starts no cluster: see `kubernetes_simulated`, `kubernetes_real` and
`kubernetes_kubelet`.
"""
