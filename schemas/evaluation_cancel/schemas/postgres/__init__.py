"""How a process reaches Postgres: its address, and where the password comes from.

`address.py` checks a DSN, `login.py` reads it anew for each connection. Connects to nothing.
"""
