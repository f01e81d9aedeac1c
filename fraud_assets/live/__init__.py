"""The live path: micro-batches of arrivals, judged within seconds."""
