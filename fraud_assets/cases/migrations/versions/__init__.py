"""One module for each version of the desk's database."""
