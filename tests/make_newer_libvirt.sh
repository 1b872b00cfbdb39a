#!/usr/bin/env bash
# Make a Debian 13 root folder with libvirt 11.3 and QEMU 10, for the tests that compare libvirts.
#
#   sudo tests/make_newer_libvirt.sh [FOLDER]
#
# Made once and kept (default: $SNAPVIEW_TEST_CHROOT, else /var/cache/snapview-tests/trixie). The
# folder appears complete or not at all, and every mount lives in a mount namespace that ends with
# this process, so that nothing stays mounted even after a kill -9. The machine's own /dev is never
# bound: package scripts would change the owners of its nodes.
set -euo pipefail

folder=${1:-${SNAPVIEW_TEST_CHROOT:-/var/cache/snapview-tests/trixie}}
partial=$folder.partial

packages=(
    libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu
    qemu-system-x86 qemu-utils
)

if [[ $(id -u) -ne 0 ]]; then
    echo "make_newer_libvirt.sh: needs root" >&2
    exit 1
fi

# The Debian mirror that this machine uses already, without its -security and -updates suites;
# nothing on other distributions, where debootstrap's default is right.
configured_mirror() {
    command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC2016 # apt-get's own variables
    apt-get indextargets --format '$(SITE) $(ORIGIN) $(CODENAME)' 2>/dev/null |
        awk '$2 == "Debian" && $3 !~ /-/ && $1 ~ /\/debian\/?$/ { print $1; exit }'
}

make_devices() {
    local dev=$1/dev
    rm -rf "$dev"
    mkdir -p "$dev/pts" "$dev/shm"
    chmod 1777 "$dev/shm"
    mknod -m 666 "$dev/null" c 1 3
    mknod -m 666 "$dev/zero" c 1 5
    mknod -m 666 "$dev/full" c 1 7
    mknod -m 666 "$dev/random" c 1 8
    mknod -m 666 "$dev/urandom" c 1 9
    mknod -m 666 "$dev/tty" c 5 0
    ln -s /proc/self/fd "$dev/fd"
}

build() {
    local mirror
    mirror=$(configured_mirror)
    rm -rf --one-file-system "$partial"
    mkdir -p "$partial"
    debootstrap --variant=minbase trixie "$partial" ${mirror:+"$mirror"}
    make_devices "$partial"

    # No service may start: the tests start the one daemon that they need.
    printf '#!/bin/sh\nexit 101\n' >"$partial/usr/sbin/policy-rc.d"
    chmod 755 "$partial/usr/sbin/policy-rc.d"

    mount -t proc proc "$partial/proc"
    mount -t sysfs -o ro sysfs "$partial/sys"
    trap 'umount "$partial/sys" "$partial/proc"' EXIT
    # libvirt's packages for both generations give QEMU's account this number.
    DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$partial" \
        apt-get install --yes --no-install-recommends "${packages[@]}"
    chroot "$partial" apt-get clean
    umount "$partial/sys" "$partial/proc"
    trap - EXIT

    rm -rf "$partial"/var/lib/apt/lists/*
    # debootstrap makes the folder with the caller's umask; an unprivileged daemon must enter it.
    chmod 755 "$partial"
    mv -T "$partial" "$folder"
}

if [[ ${SNAPVIEW_IN_NAMESPACE:-} != 1 ]]; then
    # In a bare chroot "/" is no mount point, and its propagation cannot be set.
    propagation=private
    mountpoint --quiet / || propagation=unchanged
    SNAPVIEW_IN_NAMESPACE=1 exec unshare --mount --propagation "$propagation" "$0" "$folder"
fi
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
if [[ -x $folder/usr/sbin/libvirtd ]]; then
    exit 0
fi
build
