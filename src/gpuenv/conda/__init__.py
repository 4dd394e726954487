"""Conda: the specification of an environment, its channels, and the programs and the library that solve and
install it.
"""
