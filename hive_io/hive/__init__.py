"""The warehouse on a HiveServer2, through PyHive."""
