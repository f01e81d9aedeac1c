"""Block and watch lists that people keep: their files, and the rows of `lists`."""
