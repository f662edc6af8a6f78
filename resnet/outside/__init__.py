"""Models of others, by name: built, wrapped, admitted, with calibrated weights, their work counted."""
