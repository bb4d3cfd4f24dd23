"""Local servers that speak the real protocols of the outside services, with their faults."""
