"""Ed25519 keys in PEM files: the archiver's private key, and the public keys that are trusted.

The id of a key is the SHA-256 of its public key in DER, as `openssl pkey -pubin -outform DER | sha256sum` prints it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from evaluation_cancel.consumer.domain.errors import Refusal


class Signer:
    """Signs with one private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.key_id = key_id(self.public)

    def sign(self, text: bytes) -> bytes:
        """The signature. It is the same for the same text, so writing a link again gives the same bytes."""
        return self._key.sign(text)


class TrustedKeys:
    """The public keys whose signatures are accepted."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys: Mapping[str, Ed25519PublicKey] = {key_id(key): key for key in keys}

    def __contains__(self, identity: str) -> bool:
        return identity in self._keys

    def __bool__(self) -> bool:
        return bool(self._keys)

    def check(self, identity: str, signature: bytes, text: bytes) -> bool:
        """Whether the trusted key with this id signed the text."""
        try:
            self._keys[identity].verify(signature, text)
        except (KeyError, InvalidSignature):
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """The id by which links name their key."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def load_signer(path: Path) -> Signer:
    """Read a private key. Raises `Refusal` if the file holds none."""
    key = _loaded(path, lambda pem: load_pem_private_key(pem, password=None))
    if not isinstance(key, Ed25519PrivateKey):
        raise Refusal("unusable_key", f"{path} does not hold an Ed25519 private key")
    return Signer(key)


def load_trusted(paths: Iterable[Path]) -> TrustedKeys:
    """Read public keys. Raises `Refusal` if one of the files holds none."""
    keys = []
    for path in paths:
        key = _loaded(path, load_pem_public_key)
        if not isinstance(key, Ed25519PublicKey):
            raise Refusal("unusable_key", f"{path} does not hold an Ed25519 public key")
        keys.append(key)
    return TrustedKeys(keys)


def _loaded(path: Path, load: object) -> object:
    try:
        return load(path.read_bytes())  # type: ignore[operator]
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refusal("unusable_key", f"{path} cannot be read as a PEM key: {error}") from error
