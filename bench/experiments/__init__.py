"""What a fresh card is asked first, by name; each part costs only itself.

`lists` names them, `parts` runs each as a separate fault domain; the measuring is done in a child.
"""
