"""Pictures on disk: of a folder, of one with labels, and the digits that a package brings."""
