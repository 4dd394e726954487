"""A Python in an environment whose pip installs metadata only, as a shell script."""

from __future__ import annotations

from pathlib import Path


def program(log: Path) -> str:
    """The script: what it is asked goes into ``log``; for each line of a requirements file it leaves a dist-info."""
    return f"""#!/bin/sh
echo "$*" >> '{log}'
site=${{0%/bin/*}}/lib/python3.6/site-packages
for file in "$@"; do
    case $file in *.txt) ;; *) continue ;; esac
    made=$(sed -n 's/^\\([a-z0-9][a-z0-9-]*\\)==\\([^ ;\\\\]*\\).*/\\1-\\2.dist-info/p' "$file")
    # One mkdir for all: as many processes as packages take most of a test's time.
    (mkdir -p "$site" && cd "$site" && mkdir -p $made && for folder in $made; do
        name=${{folder%.dist-info}}
        printf 'Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n' "${{name%-*}}" "${{name##*-}}" > "$folder/METADATA"
    done)
done
"""
