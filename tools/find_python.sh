#!/bin/sh
# Print a Python that headstart can be set up with, or say why there is none.
#
# $PYTHON, when set, is taken or refused but never replaced. Without it python3 comes first, for
# that is what its owner means by Python, and then the newest of the others.
set -u

check='
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit("is Python %d.%d" % sys.version_info[:2])
import sqlite3, ssl, venv
print(sys.executable)
'

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3 python3.13 python3.12 python3.11
fi

refused=''
for name in "$@"; do
    if ! command -v "$name" >/dev/null 2>&1; then
        why='not found'
    elif said=$("$name" -c "$check" 2>&1); then
        printf '%s\n' "$said" | tail -n 1
        exit 0
    else
        why=$(printf '%s\n' "$said" | tail -n 1)
    fi
    refused="$refused
  $name: $why"
done

cat >&2 <<EOF
headstart needs Python 3.11, 3.12 or 3.13. What was tried:$refused
Install one of them, or name one: make setup PYTHON=/path/to/python3.12
EOF
exit 1
