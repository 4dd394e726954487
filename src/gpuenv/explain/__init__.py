"""``make explain``: match a log against the catalogue of known failures and name the root cause. The catalogue is
data in ``catalogue/``.
"""
