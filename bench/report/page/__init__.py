"""The report as one self-contained file.

    records -> data (plain rows) -> charts (a Vega-Lite specification each) -> sections -> document | stills

vl-convert, which brings Vega-Lite, and Jinja are the extra `report`: imported inside the functions that draw and write.
"""
