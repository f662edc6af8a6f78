"""The layers of cases as a report shows them: beside a rival's, under their roofs, in words."""
