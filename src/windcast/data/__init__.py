"""Data: one farm, its contract, its sources, and the gate that decides what was known when."""
