"""The plain way to serve the same request: lock the row, delete the Job, wait until it is gone, update the row, answer.

`python -m tests.bench.plain_endpoint PORT`, with DSN and KUBECONFIG in the environment. The same framework and server,
and the same calls to Kubernetes, as the real one. It has it easier: no token, no Kafka, no record of who asked, no
retries; and what it was doing is lost when it ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvicorn
from fastapi import FastAPI, HTTPException, Request

from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess, connect

TABLE = "plain_evaluations"
LOCK = f"SELECT status, job_namespace, job_name, job_uid FROM {TABLE} WHERE id = $1 FOR UPDATE"
CANCEL = f"UPDATE {TABLE} SET status = 'cancelled', ended_at = now() WHERE id = $1"
_PODS_OF = "batch.kubernetes.io/controller-uid"
_LOOK_AGAIN = 0.25
_CONNECTIONS = 100
"""Each request holds one until its pods have ended."""


@asynccontextmanager
async def connections(app: FastAPI) -> AsyncIterator[None]:
    access = ClusterAccess(kubeconfig=Path(os.environ["KUBECONFIG"]), disable_strict_ssl_verification=True)
    app.state.jobs = await connect(access)
    async with asyncpg.create_pool(os.environ["DSN"], min_size=5, max_size=_CONNECTIONS) as app.state.pool:
        yield
    await app.state.jobs.close()


app = FastAPI(lifespan=connections)


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/v1/evaluations/{evaluation_id}/cancel")
async def cancel(evaluation_id: UUID, request: Request) -> dict[str, str]:
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(LOCK, evaluation_id)
        if row is None:
            raise HTTPException(404, "Evaluation not found")
        await _delete(request.app.state.jobs, row)
        await connection.execute(CANCEL, evaluation_id)
    return {"status": "cancelled", "evaluation_id": str(evaluation_id)}


async def _delete(jobs: Any, row: Any) -> None:
    namespace, name, uid = row["job_namespace"], row["job_name"], row["job_uid"]
    await jobs.delete(namespace, name, uid)
    while await jobs.get(namespace, name) is not None or await jobs.pods(namespace, f"{_PODS_OF}={uid}"):  # noqa: ASYNC110  # the plain way
        await asyncio.sleep(_LOOK_AGAIN)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="h11", log_level="warning")
