"""Authenticates and limits callers before a request is read.

`tokens.py` verifies bearer tokens, `claims.py` reads who asks; `jwks.py` keeps the issuers' keys, which come from
`key_source.py` and are chosen by `keys.py`; `guard.py` puts both before each operation,
`rates.py` limits requests for each caller. Invariant: nothing of a token chooses how it is verified.
"""
