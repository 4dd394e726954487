"""Stand-ins for what unit tests do not have."""
