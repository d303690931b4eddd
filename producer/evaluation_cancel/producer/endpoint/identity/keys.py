"""Which keys of a key set verify signatures, and with which algorithms: those of a key's type, no token's choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson

SHORTEST_RSA_BITS: Final = 2048
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
ALGORITHMS: Final = frozenset({*_RSA, "ES256", "ES384", "EdDSA"})


@dataclass(frozen=True, kw_only=True, slots=True)
class VerificationKey:
    """A key with the algorithms it is for."""

    algorithms: tuple[str, ...]
    key: Any


class Keys:
    """The usable keys of one key set."""

    def __init__(self, keys: Mapping[str | None, VerificationKey]) -> None:
        self._keys = dict(keys)

    def find(self, key_id: str | None) -> VerificationKey | None:
        """The key of this id. An issuer with a single key need not name it, in the set or in its tokens."""
        if key_id is not None and key_id in self._keys:
            return self._keys[key_id]
        if len(self._keys) != 1:
            return None
        [(only, key)] = self._keys.items()
        return key if key_id is None or only is None else None


def usable_keys(document: bytes) -> Keys:
    """The keys that can be used; what else is in the set is left alone. Raises ValueError for what is no key set."""
    content = orjson.loads(document)
    if not isinstance(content, dict) or not isinstance(content.get("keys"), list):
        raise ValueError("not a JWK set")  # noqa: TRY004  # a document is wrong, not a type
    keys: dict[str | None, VerificationKey] = {}
    nameless = 0
    for entry in content["keys"]:
        key = _key(entry)
        if key is not None:
            nameless += entry.get("kid") is None
            keys[entry.get("kid")] = key
    if nameless > 1:
        del keys[None]  # nothing says which of them a token means
    return Keys(keys)


def _key(entry: object) -> VerificationKey | None:
    """A public key that is for signatures; None for any other."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    if not isinstance(entry.get("kid", ""), str | None):
        return None
    suited = _RSA if entry.get("kty") == "RSA" else _BY_CURVE.get((str(entry.get("kty")), str(entry.get("crv"))), ())
    algorithms = tuple(each for each in suited if entry.get("alg", each) == each)
    if not algorithms:
        return None
    try:
        key = jwt.PyJWK(entry, algorithms[0]).key
    except (jwt.PyJWTError, ValueError):
        return None
    if suited is _RSA and key.key_size < SHORTEST_RSA_BITS:
        return None
    return VerificationKey(algorithms=algorithms, key=key)
