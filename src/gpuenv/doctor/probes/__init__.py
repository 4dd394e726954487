"""Gather facts about the host, the engines, the GPUs, the network and conda. Nothing is judged here."""
