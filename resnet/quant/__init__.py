"""Networks in 8 bits: the steps that a backend declares, their exact values, and the ranges of activations."""
