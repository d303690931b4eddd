"""Sends commands and follows what becomes of them. Other services import publisher.py; people use __main__.py."""
