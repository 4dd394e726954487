"""`make doctor`: says what of this machine gets in the way, how to mend it, and which command works here.

`probes` ask the machine, and `gather` waits for them no longer than a deadline; `checks` judge the facts; `routes` are
the ways to an environment with what blocks each; `text` prints all of it. Nothing is started, installed or fetched.
"""
