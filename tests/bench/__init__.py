"""Benchmarks of the way from a command to its outcome. `python -m tests.bench --help`; read docs/benchmarks.md."""
