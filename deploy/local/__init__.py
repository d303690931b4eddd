"""The whole system on one machine: every part is an async context manager that yields a frozen handle.

Layers, from top to bottom: `demo` (scenarios with checks), `play` (commands for a person), `stand` (all parts, and the
service on them), one package for each part (`services`, `kafka`, `kubernetes_simulated`, `kubernetes_real`),
`kubernetes` (cluster handle and administration), `processes` (child processes), `errors`.

Read `stand/system.py` first. Invariant: when the stand ends, even by SIGKILL, no process and no file of it remains.
The demo, the tests and the benchmarks use this package; no published package imports it.
"""
