"""The schema: its revisions, what is made from the evaluations mapping, who may read, and bringing a database to it."""
