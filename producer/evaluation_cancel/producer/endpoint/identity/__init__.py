"""Authenticates and limits callers before a request is read.

`tokens.py` verifies bearer tokens, `jwks.py` fetches the issuers' keys, `guard.py` puts both before each operation,
`rates.py` limits requests for each caller. Invariant: nothing of a token chooses how it is verified.
"""
