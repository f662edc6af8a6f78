"""Why work on kernels ended early. A message is a sentence without its full stop, for the command line to print."""

from __future__ import annotations


class WorkError(Exception):
    """Something went wrong that can be put right: what a child was to do it could not, or a file cannot be written."""


class UnableError(WorkError):
    """This machine cannot do it at all, as a package is missing."""
