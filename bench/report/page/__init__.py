"""The report as one self-contained file.

    records -> data (plain rows) -> charts (one specification each) -> sections -> document | stills

Altair, vl-convert and Jinja are the extra `report`: imported inside the functions that draw and write.
"""
