"""A comparison for a reader: the finding in a line, the terminal's tables, a comment on a pull request."""
