"""The revisions of the schema, in the order of their numbers. They are never changed once released.

Add the next one beside them; CONTRIBUTING.md lists the steps.
"""
