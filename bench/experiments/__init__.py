"""The questions that a fresh card answers first, by name; each part costs only itself.

`lists` names them, `parts` runs each as a separate fault domain; the measuring is done in a child.
"""
