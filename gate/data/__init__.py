"""The held-out set: read in batches, digested, its ids and its contract checked."""
