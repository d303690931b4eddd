"""Loads the settings of any process from the environment and tells all mistakes in them at once (`loading.py`)."""
