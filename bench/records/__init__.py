"""The record of one case in one round: checked, stored, loaded, compared by its conditions."""
