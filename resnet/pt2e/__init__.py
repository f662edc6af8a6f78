"""Networks in 8 bits through torchao's PT2E, as Inductor compiles them for an x86."""
