"""``make lock``: resolve the requirements of each variant, and of the command itself, into hashed locks."""
