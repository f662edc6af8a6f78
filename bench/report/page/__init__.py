"""The report page: records -> rows and points -> Vega-Lite charts -> one HTML file, or stills of the same charts.

    records -> data (plain rows) -> charts (one specification each) -> sections -> document | stills

Altair, vl-convert and Jinja are the extra `report`: imported inside the functions that draw and write.
"""
