"""What is wrong at present, and messages to people about it. Writes no business table."""
