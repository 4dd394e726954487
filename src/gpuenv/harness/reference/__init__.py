"""Programs that run inside a target, with the target's own Python (3.6 syntax) and packages.

They are started as scripts from one read-only folder, print one JSON object as the last line of
standard output, and install nothing. Nothing here imports the rest of gpuenv.
"""
