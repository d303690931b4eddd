"""A real Kubernetes API on one machine without containers: `build.py` makes the binary, `cluster.py` runs it."""

from pathlib import Path

STAGES = Path(__file__).parent / "stages.yaml"
"""What KWOK plays: how nodes become ready and how pods run, finish and end."""
