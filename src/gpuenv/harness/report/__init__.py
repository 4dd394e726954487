"""The report of a run: the table in the terminal, JSON and JUnit files, and the page with its pictures."""
