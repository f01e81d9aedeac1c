"""Cases: what people decide about alerts, kept in a database of their own."""
