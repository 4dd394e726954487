"""`make soak`: does at random what users do and what happens to them, and looks at what is left of it."""
