"""The use cases of `cancel-producer cancel`, with and without HTTP.

`cancelling.py` publishes commands and waits for their outcomes, `over_http.py` does the same through the endpoint,
`progress.py` shows both. Options and exit codes are in `__main__.py`.
"""
