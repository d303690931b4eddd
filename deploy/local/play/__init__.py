"""Commands for a person who tries the system: start it, make an evaluation, follow the events.

`up` starts everything and prints commands to try. `commands` holds those that run in another shell; `prepare` fills the
cache of the real parts. `orchestrator` and `listener` act as a team's own orchestrator and a downstream service would;
the demo and the end-to-end tests use them too. Nothing here starts a part itself: see `stand`.
"""
