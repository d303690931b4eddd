"""The Job controller: keeps as many pods as a Job asks for, counts the ended ones, tells when it is finished.

It reacts after the request that caused it was answered, as the real one does; `creation_lag` widens the gap in which
a pod is still to come although a list of pods is empty and the Job is being deleted. It never creates a pod for
a Job that is gone. Ending pods of a deleted Job is `garbage`'s work.
"""

from deploy.local.kubernetes_simulated.controllers import job_status
from deploy.local.kubernetes_simulated.controllers.workqueue import WorkQueue
from deploy.local.kubernetes_simulated.objects import clock
from deploy.local.kubernetes_simulated.objects.creation import create
from deploy.local.kubernetes_simulated.objects.deletion import DeleteOptions, delete, settle, without_finalizer
from deploy.local.kubernetes_simulated.objects.resources import JOBS, NAMESPACES, PODS, Object
from deploy.local.kubernetes_simulated.objects.store import Change, Store

TRACKING = "batch.kubernetes.io/job-tracking"


class JobController:
    """One queue of Job uids."""

    def __init__(self, store: Store) -> None:
        self.queue = WorkQueue(self._sync)
        self.creation_lag = 0.0
        """Seconds between the decision to create pods and their creation."""
        self._store = store
        self._expected: dict[str, int] = {}
        store.subscribe(self._observe)

    def _observe(self, change: Change) -> None:
        metadata = change.object["metadata"]
        if change.resource is JOBS:
            self.queue.add(metadata["uid"])
        elif change.resource is PODS:
            for owner in metadata.get("ownerReferences", ()):
                if owner.get("kind") == "Job":
                    self.queue.add(owner["uid"])
            if TRACKING in metadata.get("finalizers", ()) and change.kind != "DELETED":
                self.queue.add(f"pod/{metadata['uid']}")

    def _sync(self, key: str) -> None:
        if key.startswith("pod/"):
            self._release_orphan(key.removeprefix("pod/"))
            return
        found = self._store.by_uid(key)
        if found is None:
            self._expected.pop(key, None)
            return
        job = found[1]
        if job_status.finished(job):
            self._expire(job)
            return
        pods = [pod for resource, pod in self._store.dependents(key) if resource is PODS]
        counts = self._count(job, pods)
        deleting = "deletionTimestamp" in job["metadata"]
        status = job_status.after(job, counts)
        if not deleting and not job_status.finished({"status": status}):
            self._manage(job, counts)
            left = job_status.time_left(job["spec"], status)
            if left is not None and left > 0:
                self.queue.add(key, after=left + 0.1)
        self._store.replace(JOBS, {**self._store.by_uid(key)[1], "status": status})  # type: ignore[index]  # exists

    def _expire(self, job: Object) -> None:
        """Delete a finished Job when its time to live is over."""
        lives = job["spec"].get("ttlSecondsAfterFinished")
        if lives is None or "deletionTimestamp" in job["metadata"]:
            return
        uid = job["metadata"]["uid"]

        def delete_now() -> None:
            found = self._store.by_uid(uid)
            if found is not None:
                delete(self._store, JOBS, found[1], DeleteOptions(propagation="Foreground", uid=uid))

        self.queue.later(lives, delete_now)

    def _count(self, job: Object, pods: list[Object]) -> job_status.Counts:
        """Sort the pods, and let go of the finalizer of each that is counted now or needs no counting."""
        counts = job_status.Counts()
        for pod in pods:
            phase, deleting = pod["status"]["phase"], "deletionTimestamp" in pod["metadata"]
            ended = phase in ("Succeeded", "Failed")
            tracked = TRACKING in pod["metadata"].get("finalizers", ())
            if ended or deleting:
                if tracked and phase == "Succeeded":
                    counts.succeeded += 1
                elif tracked and "deletionTimestamp" not in job["metadata"]:
                    counts.failed += 1
                counts.terminating += deleting and not ended
            else:
                counts.active.append(pod)
            if tracked and (ended or deleting or "deletionTimestamp" in job["metadata"]):
                settle(self._store, PODS, without_finalizer(pod, TRACKING))
        return counts

    def _manage(self, job: Object, counts: job_status.Counts) -> None:
        uid = job["metadata"]["uid"]
        wanted = job_status.wanted_pods(job, counts)
        expected = self._expected.get(uid, 0)
        missing = wanted - len(counts.active) - expected
        if missing > 0:
            self._expected[uid] = expected + missing
            if self.creation_lag > 0:
                self.queue.later(self.creation_lag, lambda: self._create(uid, missing))
            else:
                self._create(uid, missing)
        for pod in counts.active[wanted:]:
            delete(self._store, PODS, pod, DeleteOptions(propagation="Background"))

    def _create(self, uid: str, number: int) -> None:
        """Create pods as decided earlier: whether the Job is being deleted by now is not looked at again."""
        self._expected.pop(uid, None)
        found = self._store.by_uid(uid)
        if found is None:
            return
        job = found[1]
        namespace = job["metadata"]["namespace"]
        space = self._store.get(NAMESPACES, "", namespace)
        if space is None or "deletionTimestamp" in space["metadata"]:
            return
        for _ in range(number):
            create(self._store, PODS, namespace, _pod_of(job))

    def _release_orphan(self, uid: str) -> None:
        """A tracked pod whose Job is gone, or that was orphaned, would keep its finalizer for ever."""
        found = self._store.by_uid(uid)
        if found is None:
            return
        owners = [o for o in found[1]["metadata"].get("ownerReferences", ()) if o.get("controller")]
        if not any(self._store.by_uid(owner["uid"]) for owner in owners):
            settle(self._store, PODS, without_finalizer(found[1], TRACKING))


def _pod_of(job: Object) -> Object:
    metadata, template = job["metadata"], job["spec"]["template"]
    owner = {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    pod_metadata: Object = {
        "name": f"{metadata['name'][:57]}-{clock.random_suffix()}",
        "generateName": f"{metadata['name']}-",
        "labels": template["metadata"]["labels"],
        "ownerReferences": [owner],
        "finalizers": [TRACKING],
    }
    if annotations := template["metadata"].get("annotations"):
        pod_metadata["annotations"] = annotations
    return {"metadata": pod_metadata, "spec": template["spec"]}
