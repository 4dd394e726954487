"""What every other package may use and nothing here knows about environments: errors in three parts, printing,
paths, files written whole, locks between processes, signals.
"""
