"""A small Kubernetes API server for tests and the demo, true to the real one in what this service relies on.

Its rules were compared with kube-apiserver 1.36 by the suite tests/integration/kubernetes, which runs against both.
Start reading at `simulator` (the whole), `server` (a request's way), `deletion` and `garbage` (what a DELETE does).

Known to differ: HTTP/1.1 and JSON only, no managedFields, no events, no scheduler, a pod that was lost is replaced at
once instead of after a pause, a list of a future version fails at once instead of after three seconds, and a priority
level without shares serves no request. It refuses dry run, server-side apply and indexed Jobs.
"""

from deploy.local.kubernetes.cluster import Cluster
from deploy.local.kubernetes_simulated.apiserver.faults import Fault, Faults, Which
from deploy.local.kubernetes_simulated.simulator import Simulator

__all__ = ["Cluster", "Fault", "Faults", "Simulator", "Which"]
