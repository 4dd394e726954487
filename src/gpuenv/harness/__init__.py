"""``make test-env``: run the checks of ``tests/env`` inside every target and report what they found."""
