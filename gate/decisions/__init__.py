"""The record of a verdict: what was found, on what evidence, in a form whose bytes can be compared and signed."""
