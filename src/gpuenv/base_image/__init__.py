"""The base image: pulled from a registry, or made on the spot from the host's Debian or Ubuntu and a CPython of
this machine.
"""
