"""How often verdicts are wrong, simulated and by real runs."""
