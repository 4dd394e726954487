"""What this machine is: processor and memory, NVIDIA driver and GPUs, operating system, installed Pythons, system
packages.
"""
