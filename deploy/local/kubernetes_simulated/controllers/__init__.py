"""What happens after a request was answered: Job controller, garbage collector, namespace controller, kubelet.

Each one subscribes to the store, queues keys (`workqueue.py`) and changes objects later, as the real controllers do.
Read `job_controller.py` first. Invariant: no controller is called from a request.
"""
