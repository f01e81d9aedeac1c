"""SQL files with front matter, and the queries made from them for a span of time."""
