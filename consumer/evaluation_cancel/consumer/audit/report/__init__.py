"""Counts cancellations in a span of time, as tables on the terminal and as an HTML page.

Read `report.py` first: it counts. `view.py` makes the tables, `plots.py` the SVG plots, `html.py` the page.

Invariants: only events are counted, each once however often it was published. The page loads nothing from outside, and
text from records is escaped.
"""
