"""Judges facts: each public function is a check, called by its name, and takes the facts that its parameters name.

It reads nothing but those, and returns verdicts: how bad it is, what is wrong, what mends it, and what it blocks.
"""
