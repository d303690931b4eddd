"""Sends Content-MD5 with deletes of many keys, which older stores demand and newer clients no longer send."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


def send_content_md5(client: S3Client) -> None:
    """From now on. Harmless when called again."""
    client.meta.events.register("before-sign.s3.DeleteObjects", _add, unique_id="content-md5")


def is_demand(code: str, detail: str) -> bool:
    """Whether a store refused a request for want of the header. Stores have no common code for it."""
    return code == "missing_content_md5" or "content-md5" in detail.lower()


def _add(request: Any, **_: Any) -> None:
    """Runs before signing, so that the signature covers the header."""
    digest = hashlib.md5(request.body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode("ascii")
