#!/usr/bin/env bash
# Sets snapview up on this machine where that is still to be done, and starts it.
#
#     bash packaging/run.sh                 the window; without any VM, on the demo lab
#     bash packaging/run.sh list --json     arguments go through to snapview
#
# Tried on Debian 12, Debian 13 and Ubuntu 24.04; knows Fedora's packages. Needs root or sudo
# only while system packages are lacking. Starts no service and changes no setting.

set -euo pipefail
# shellcheck source=packaging/system.sh
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

SNAPVIEW="$VENV/bin/snapview"

# True if libvirt on this machine knows a VM. The user's own daemon is not asked, because that
# would start it: its VMs are files. virsh has no terminal here, so that no password is asked.
has_machines() {
    local config="${XDG_CONFIG_HOME:-$HOME/.config}/libvirt/qemu" names
    [[ -n ${LIBVIRT_DEFAULT_URI:-} ]] && return
    compgen -G "$config/*.xml" >/dev/null && return
    command -v virsh >/dev/null || return 1
    names="$(setsid --wait timeout 20 \
        virsh --readonly --quiet --connect qemu:///system list --all --name </dev/null 2>/dev/null)" ||
        return 1
    [[ -n ${names//[[:space:]]/} ]]
}

# The trees of every VM as text.
print_trees() {
    local name status=0
    "$SNAPVIEW" list || return
    while IFS= read -r name; do
        printf '\n'
        "$SNAPVIEW" tree "$name" || status=$?
    done < <("$SNAPVIEW" list --json | "$VENV/bin/python" -c '
import json, sys
for vm in json.load(sys.stdin)["vms"]:
    print(vm["name"])')
    return "$status"
}

set_up run

if (($#)); then
    exec "$SNAPVIEW" "$@"
fi

display="${DISPLAY:-}${WAYLAND_DISPLAY:-}"
if [[ -z $display ]]; then
    say "There is no display (DISPLAY and WAYLAND_DISPLAY are empty)," \
        "so here are the snapshot trees as text."
fi
if has_machines; then
    [[ -n $display ]] && exec "$SNAPVIEW"
    print_trees
else
    say "There is no virtual machine here yet; making the demo lab to look around in."
    [[ -z $display ]] && exec "$SNAPVIEW" demo --no-gui
    "$SNAPVIEW" demo --no-gui
    exec "$SNAPVIEW" --demo
fi
