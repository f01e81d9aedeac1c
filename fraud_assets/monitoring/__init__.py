"""Health checks, incidents and notifications. Writes no business table."""
