"""The command line of audit: `explain`, `replay`, `archive`, `verify`, `report`.

Start with `commands.py`. Each command has a module of its name; `options.py` parses values that several commands take,
`settings.py` has the settings, `wiring.py` opens the clients, `terminal.py` runs a command. `entry.py` is imported by
the service's command line and works without the extra `audit`. No rule of a use case is here.

Invariants: standard output has only the answer, standard error the rest. Exit codes: 0, 1 for defects or an unknown
evaluation, 2 when the command could not answer.
"""
