"""``make doctor``: gather facts about this machine, check them, and recommend a command that works here."""
