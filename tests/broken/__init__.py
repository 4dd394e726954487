"""Environments broken on purpose, and the checks that have to catch each: see README.md."""
