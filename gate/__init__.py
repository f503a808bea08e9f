"""The gate: a regression gate for model updates."""
