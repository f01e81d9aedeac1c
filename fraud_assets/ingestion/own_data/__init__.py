"""The user's own data: the source file, connectors, and the mapping of raw rows to the columns of a table."""
