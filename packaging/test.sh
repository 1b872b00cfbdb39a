#!/usr/bin/env bash
# Sets up what the tests need where that is still to be done, and runs every check and test.
#
#     bash packaging/test.sh                       everything
#     bash packaging/test.sh tests/core -k plan    arguments go through to pytest
#
# Ends with pytest's own summary. The exit status is pytest's; if pytest was content and another
# check was not, it is 1.

set -euo pipefail
# shellcheck source=packaging/system.sh
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

set_up test
cd "$ROOT"
PATH="$VENV/bin:$PATH"
failed=()

check() {
    printf '\n== %s\n' "$*"
    "$@" </dev/null || failed+=("$*")
}

check ruff check .
check ruff format --check .
check mypy
check lint-imports

if ((${#failed[@]})); then
    printf '\n%s of 4 checks failed, so this run fails, whatever pytest says:\n' "${#failed[@]}"
    printf '    %s\n' "${failed[@]}"
fi

printf '\n== pytest %s\n' "$*"
status=0
pytest "$@" </dev/null || status=$?
if ((status == 0 && ${#failed[@]})); then
    status=1
fi
exit "$status"
