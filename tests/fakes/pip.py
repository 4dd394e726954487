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
    sed -n 's/^\\([a-z0-9][a-z0-9-]*\\)==\\([^ ;\\\\]*\\).*/\\1 \\2/p' "$file" | while read -r name version; do
        mkdir -p "$site/$name-$version.dist-info"
        printf 'Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n' "$name" "$version" > "$site/$name-$version.dist-info/METADATA"
    done
done
"""  # noqa: E501 - lines of a script
