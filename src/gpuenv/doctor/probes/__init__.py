"""Asks this machine for facts: host, engine, GPUs, network, conda. Nothing is judged here.

Whatever another part of the tool decides is asked of that part (the engine, the base, the archives), never again here.
"""
