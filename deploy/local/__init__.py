"""The whole system on one machine: every part is an async context manager that yields a frozen handle.

Nothing installed imports this package; it serves the demo, the tests and the benchmark.
"""
