"""A simulated NVIDIA host: a driver's libraries, device nodes and runtime hook, made at test time from small sources.

docs/simulated-host.md says what each scenario shows, and what none can show.
"""
