"""Faults put to the real command line at random moments, and what they cost counted: `python -m tests.soak`.

A trial is a small sweep into a folder of its own. One of its processes is killed, stopped, starved or cramped at a
random moment; then the sweep is resumed as its user would, with the command that it printed, until it is complete.
"""
