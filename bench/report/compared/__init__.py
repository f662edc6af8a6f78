"""A comparison as a picture: intervals, by variant."""
