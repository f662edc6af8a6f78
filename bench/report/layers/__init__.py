"""The layers of cases as rows: beside a rival's, under their roofs, in words."""
