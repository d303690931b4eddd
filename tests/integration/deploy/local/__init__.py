"""The stand's own tests: its parts start, survive what tests do to them, and leave nothing behind."""
