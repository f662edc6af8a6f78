"""The load that a device serves, simulated over measured times, and for real."""
