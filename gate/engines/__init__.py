"""Who runs the models: worker processes on this machine, or, for debugging, the gate's own process."""
