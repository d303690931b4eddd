"""The report over a period: counts, times and reasons.

`report.py` counts (pure), `view.py` prints to a terminal, `html.py` writes a page with `plots.py` and no script.
"""
