"""Ways to alter an archive. Each returns the place of the defect and the code under which `verify` must report it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from evaluation_cancel.consumer.audit.archive.link import decode_link, encode_link
from evaluation_cancel.consumer.audit.archive.signing import Signer, load_signer
from evaluation_cancel.consumer.audit.cli import wiring
from tests.support.audit.history import History
from tests.support.fakes.audit import MemoryStore, new_signer


def data(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {key: body for key, body in objects.items() if key.startswith("data/")}


def links(objects: dict[str, bytes], topic: str) -> list[str]:
    """The keys of the links of the topic's partition with the most links."""
    found: dict[str, list[str]] = {}
    for key in sorted(objects):
        if key.startswith(f"chain/{topic}/"):
            found.setdefault(key.rpartition("/")[0], []).append(key)
    return max(found.values(), key=len)


def signer_of(history: History) -> Signer:
    assert history.settings.audit_signing_key_file is not None
    return load_signer(history.settings.audit_signing_key_file)


def events_links(history: History, store: MemoryStore) -> list[str]:
    found = links(store.objects, history.settings.topics.events)
    assert len(found) > 2, "the history is too short for these tests"
    return found


def alter_an_object(history: History, store: MemoryStore) -> tuple[str, str]:
    key = max(data(store.objects))
    lines = (
        gzip.decompress(store.objects[key]).replace(b"wrong model", b"right model").replace(b"not_json", b"no_value")
    )
    store.objects[key] = gzip.compress(lines, mtime=0)
    return key, "altered_object"


def alter_a_link(history: History, store: MemoryStore) -> tuple[str, str]:
    key = events_links(history, store)[1]
    store.objects[key] = store.objects[key].replace(b"records: ", b"records: 1")
    return key, "broken_link"


def drop_an_object(history: History, store: MemoryStore) -> tuple[str, str]:
    key = min(data(store.objects))
    del store.objects[key]
    return key, "missing_object"


def drop_a_link(history: History, store: MemoryStore) -> tuple[str, str]:
    _, gone, after = events_links(history, store)[:3]
    del store.objects[gone]
    return after, "missing_link"


def swap_two_links(history: History, store: MemoryStore) -> tuple[str, str]:
    one, other = events_links(history, store)[:2]
    store.objects[one], store.objects[other] = store.objects[other], store.objects[one]
    return one, "misplaced_link"


def swap_two_objects(history: History, store: MemoryStore) -> tuple[str, str]:
    one, other = sorted(data(store.objects))[:2]
    store.objects[one], store.objects[other] = store.objects[other], store.objects[one]
    return other, "altered_object"


def truncate_an_object(history: History, store: MemoryStore) -> tuple[str, str]:
    key = min(data(store.objects))
    store.objects[key] = store.objects[key][:-9]
    return key, "altered_object"


def truncate_a_link(history: History, store: MemoryStore) -> tuple[str, str]:
    key = events_links(history, store)[1]
    store.objects[key] = store.objects[key][:-5]
    return key, "broken_link"


def sign_with_another_key(history: History, store: MemoryStore) -> tuple[str, str]:
    """Sign the whole chain, so that every digest is right."""
    stranger, previous = new_signer(), None
    for key in events_links(history, store):
        link = decode_link(store.objects[key], wiring.trusted_keys(history.settings))
        raw = encode_link(replace(link, previous=previous), stranger)
        store.objects[key], previous = raw, hashlib.sha256(raw).hexdigest()
    return events_links(history, store)[0], "broken_link"


def insert_a_link(history: History, store: MemoryStore) -> tuple[str, str]:
    """Insert a copy of a valid link after the last one."""
    found = events_links(history, store)
    key = found[0].rpartition("/")[0] + "/" + "9".zfill(20)
    while key in store.objects:
        key = key[:-2] + "99"
    store.objects[key] = store.objects[found[0]]
    return key, "misplaced_link"


def insert_a_chain_of_an_unknown_key(history: History, store: MemoryStore) -> tuple[str, str]:
    found = events_links(history, store)
    link = decode_link(store.objects[found[0]], wiring.trusted_keys(history.settings))
    key = found[0].replace(f"/{link.partition:05d}/", "/00777/")
    store.objects[key] = encode_link(replace(link, partition=777), new_signer())
    return key, "broken_link"


def rewrite_a_link_with_the_stolen_key(history: History, store: MemoryStore) -> tuple[str, str]:
    """Rewrite one link. The next one still has the digest of the original."""
    _, key, after = events_links(history, store)[:3]
    link = decode_link(store.objects[key], wiring.trusted_keys(history.settings))
    store.objects[key] = encode_link(replace(link, first_timestamp=1), signer_of(history))
    return after, "broken_chain"


Tampering = Callable[[History, MemoryStore], tuple[str, str]]
ALL: Final[tuple[Tampering, ...]] = (
    alter_an_object,
    alter_a_link,
    drop_an_object,
    drop_a_link,
    swap_two_links,
    swap_two_objects,
    truncate_an_object,
    truncate_a_link,
    sign_with_another_key,
    insert_a_link,
    insert_a_chain_of_an_unknown_key,
    rewrite_a_link_with_the_stolen_key,
)
