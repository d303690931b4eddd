"""How the service is installed, and a copy of the whole system for one machine.

`chart` and `compose.yaml` install the published images. `local` starts every part on this machine for the demo, the
tests and the benchmarks. `settings_page.py` writes docs/settings.md from the settings classes.

No published package imports anything from here (an import contract in pyproject.toml holds that).
"""
