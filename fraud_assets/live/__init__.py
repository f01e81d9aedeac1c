"""The live path: transactions are judged in micro-batches, within seconds of their arrival."""
