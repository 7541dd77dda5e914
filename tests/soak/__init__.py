"""Runs for as long as wanted: real daemons, random sessions, and what goes wrong around them."""
