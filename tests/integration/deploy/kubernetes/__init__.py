"""What this service relies on in a Kubernetes API, tried on the simulated and on the real one alike."""
