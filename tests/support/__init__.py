"""What the end-to-end tests and the demonstration share."""
