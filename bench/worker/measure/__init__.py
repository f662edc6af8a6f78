"""The clocks, the samples, memory, energy, what the harness costs."""
