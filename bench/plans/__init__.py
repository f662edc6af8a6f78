"""The cases of a sweep, and the reasons why this machine cannot run some."""
