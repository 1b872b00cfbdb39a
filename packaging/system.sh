# shellcheck shell=bash
# What snapview needs from the machine and how it gets there.
#
# run.sh and test.sh source this file and call `set_up run` or `set_up test`. By hand:
#
#     bash packaging/system.sh needed  [run|test]    every system package that is needed
#     bash packaging/system.sh lacking [run|test]    those which are not installed
#
# Everything said here goes to stderr: stdout belongs to snapview.

set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="$ROOT/.venv"
UNFINISHED="$VENV/.snapview-unfinished"  # there while pip is at work: a killed run leaves it
OS_RELEASE="${SNAPVIEW_OS_RELEASE:-/etc/os-release}"

# --- package lists -----------------------------------------------------------------------------

# Debian 12, Debian 13 and Ubuntu 24.04 have every one of these names.
DEBIAN_RUN=(
    libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients
    qemu-system-x86 qemu-utils util-linux
    # libvirt-python is built on the machine, against its libvirt
    libvirt-dev pkg-config gcc python3-dev python3-venv
    # Qt's platform plugins load these
    libegl1 libgl1 libdbus-1-3 libfontconfig1 fonts-dejavu-core
    libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1
    libxcb-render-util0 libxcb-shape0 libxcb-xkb1 libx11-xcb1
    libwayland-client0 libwayland-cursor0 libwayland-egl1
)
# The keyring and gpgv let debootstrap check what it fetches.
DEBIAN_TEST=(
    xvfb xauth xdotool debootstrap debian-archive-keyring gpgv mount binutils
)

FEDORA_RUN=(
    libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-driver-storage-core
    libvirt-daemon-driver-network libvirt-daemon-driver-nodedev libvirt-daemon-driver-secret
    libvirt-daemon-config-network libvirt-client
    qemu-system-x86-core qemu-img util-linux
    libvirt-devel pkgconf-pkg-config gcc python3 python3-devel
    mesa-libEGL mesa-libGL libglvnd-egl libglvnd-glx
    dbus-libs fontconfig dejavu-sans-fonts
    libxkbcommon-x11 libxcb libX11-xcb
    xcb-util-cursor xcb-util-image xcb-util-keysyms xcb-util-renderutil xcb-util-wm
    libwayland-client libwayland-cursor libwayland-egl
)
FEDORA_TEST=(
    xorg-x11-server-Xvfb xorg-x11-xauth xdotool debootstrap debian-keyring gnupg2 binutils
)

# --- saying ------------------------------------------------------------------------------------

say() {
    printf 'snapview: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

list() {
    printf '%s ' "$@" | fold -s -w 90 | sed 's/^/    /; s/ *$//' >&2
    printf '\n' >&2
}

# --- system packages ---------------------------------------------------------------------------

# Prints debian, fedora or unknown.
family() {
    local ID="" ID_LIKE="" word
    if [[ -r $OS_RELEASE ]]; then
        # shellcheck disable=SC1090  # the path is the machine's
        source <(grep -E '^(ID|ID_LIKE)=' "$OS_RELEASE")
    fi
    for word in $ID $ID_LIKE; do
        case $word in
            debian | ubuntu) echo debian && return ;;
            fedora) echo fedora && return ;;
        esac
    done
    echo unknown
}

# needed run|test: prints the package names, one on a line.
needed() {
    case "$(family)-$1" in
        debian-run) printf '%s\n' "${DEBIAN_RUN[@]}" ;;
        debian-test) printf '%s\n' "${DEBIAN_RUN[@]}" "${DEBIAN_TEST[@]}" ;;
        fedora-run) printf '%s\n' "${FEDORA_RUN[@]}" ;;
        fedora-test) printf '%s\n' "${FEDORA_RUN[@]}" "${FEDORA_TEST[@]}" ;;
    esac
}

# lacking run|test: prints the names of packages that are not fully installed.
lacking() {
    local names
    mapfile -t names < <(needed "$1")
    ((${#names[@]})) || return 0
    case "$(family)" in
        debian)
            printf '%s\n' "${names[@]}" | grep -Fxv -f <(
                LC_ALL=C dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${names[@]}" 2>/dev/null |
                    sed -n 's/^.i *//p'
            ) || true
            ;;
        fedora)
            LC_ALL=C rpm -q --whatprovides "${names[@]}" 2>/dev/null |
                sed -n 's/^no package provides //p' || true
            ;;
    esac
}

# Sets AS_ROOT to the words that run a command as root, or fails. May ask for the password.
become_root() {
    AS_ROOT=()
    ((EUID == 0)) && return
    AS_ROOT=(sudo)
    command -v sudo >/dev/null || return
    sudo -n true 2>/dev/null && return
    { : </dev/tty; } 2>/dev/null && sudo -v
}

install_debian() {
    # NEEDRESTART_*: Ubuntu would restart services by itself after an installation.
    local run=("${AS_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical
        APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l)
    local apt=(apt-get -q -y --no-install-recommends
        -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold)
    local known

    if [[ -n $(dpkg --audit 2>/dev/null) ]] || compgen -G '/var/lib/dpkg/updates/*' >/dev/null; then
        say "An earlier installation was cut short; finishing it first (dpkg --configure -a)."
        "${run[@]}" dpkg --force-confdef --force-confold --configure -a </dev/null >&2 || true
    fi
    say "Reading the package lists (apt-get update)."
    "${run[@]}" "${apt[@]}" update </dev/null >&2 ||
        say "The package lists could not be read anew; going on with those at hand."

    mapfile -t known < <(LC_ALL=C apt-cache policy "$@" |
        awk '/^[^ ].*:$/ { name = $1; sub(/:$/, "", name) }
             /^  Candidate:/ && $2 != "(none)" { print name }')
    if ((${#known[@]} < $#)); then
        say "Not in this machine's package sources (Ubuntu keeps some in its universe part):"
        mapfile -t absent < <(printf '%s\n' "$@" | grep -Fxv -f <(printf '%s\n' "${known[@]}"))
        list "${absent[@]}"
    fi
    ((${#known[@]})) || return 1
    "${run[@]}" "${apt[@]}" --fix-broken install "${known[@]}" </dev/null >&2
}

install_fedora() {
    "${AS_ROOT[@]}" dnf install -y --setopt=install_weak_deps=False "$@" </dev/null >&2
}

# Prints, one on a line, what building and running snapview cannot do without.
missing_for_build() {
    python_command >/dev/null || echo "Python 3.11 or newer with its venv module"
    if ! "$VENV/bin/python" -c 'import libvirt' 2>/dev/null; then
        command -v gcc >/dev/null || command -v cc >/dev/null || echo "a C compiler (gcc)"
        if ! command -v pkg-config >/dev/null; then
            echo "pkg-config"
        elif ! pkg-config --exists libvirt; then
            echo "the libvirt headers (libvirt-dev, libvirt-devel)"
        fi
        local python
        if python="$(python_command)" && ! "$python" -c '
import sysconfig, pathlib, sys
sys.exit(not (pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h").exists())'; then
            echo "the Python headers (python3-dev, python3-devel)"
        fi
    fi
}

# Prints what local virtual machines need; without it, connections to other machines still work.
missing_for_machines() {
    local PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/libexec"
    command -v libvirtd >/dev/null || command -v virtqemud >/dev/null || echo "libvirtd"
    command -v virsh >/dev/null || echo "virsh"
    command -v qemu-system-x86_64 >/dev/null || command -v qemu-kvm >/dev/null ||
        echo "qemu-system-x86_64"
    command -v qemu-img >/dev/null || echo "qemu-img"
}

# Called when packages could not be installed: goes on if the tools are there all the same.
go_on_without() {
    local missing
    mapfile -t missing < <(missing_for_build)
    if ((${#missing[@]})); then
        say "snapview cannot be set up without:"
        printf '    %s\n' "${missing[@]}" >&2
        exit 1
    fi
    mapfile -t missing < <(missing_for_machines)
    if ((${#missing[@]})); then
        say "Local virtual machines and the demo lab will not work without: ${missing[*]}."
    fi
    say "What is needed to start is there; going on."
}

ensure_packages() {
    local absent
    if [[ $(family) == unknown ]]; then
        # The list was said when .venv was made; nothing to say on a machine that is set up.
        stamped "$1" && return
        say "This distribution is not one that snapview knows (Debian, Ubuntu, Fedora)."
        say "It needs what these Debian packages hold:"
        if [[ $1 == test ]]; then
            list "${DEBIAN_RUN[@]}" "${DEBIAN_TEST[@]}"
        else
            list "${DEBIAN_RUN[@]}"
        fi
        go_on_without
        return
    fi

    mapfile -t absent < <(lacking "$1")
    ((${#absent[@]})) || return 0
    local installer=apt-get
    [[ $(family) == fedora ]] && installer=dnf
    say "These system packages are lacking and will now be installed with $installer," \
        "with the packages they depend on:"
    list "${absent[@]}"
    if ! become_root; then
        say "That needs root or sudo, and this account has neither. Nothing was installed."
        go_on_without
        return
    fi
    if ! "install_$(family)" "${absent[@]}"; then
        say "$installer did not install everything. Is there a network? Its own words are above."
        go_on_without
    fi
}

# --- Python ------------------------------------------------------------------------------------

# Prints the interpreter for .venv: the distribution's if it is new enough, because the headers
# and the venv module come with it. PYTHON=/path chooses another one.
python_command() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} /usr/bin/python3 python3 \
        python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c '
import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# fingerprint run|test: what .venv was made from; changes when it must be made anew.
fingerprint() {
    local sum version
    version="$("$VENV/bin/python" -c 'import sys; print(sys.version.split()[0])' 2>/dev/null)" ||
        return 1
    sum="$(sha256sum <"$ROOT/pyproject.toml")"
    printf '%s python %s in %s\n' "${sum%% *}" "$version" "$ROOT"
}

# stamped run|test: true if .venv is complete. The tests' .venv can run snapview as well.
stamped() {
    local now
    [[ ! -e $UNFINISHED ]] && now="$(fingerprint)" && [[ -x $VENV/bin/snapview ]] || return 1
    [[ -f $VENV/.snapview-$1 && $(<"$VENV/.snapview-$1") == "$now" ]]
}

# True if .venv can take packages: whole, new enough, and not moved here from another folder.
venv_usable() {
    local stamp
    [[ ! -e $UNFINISHED ]] || return 1
    "$VENV/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        return 1
    for stamp in "$VENV"/.snapview-{run,test}; do
        [[ ! -f $stamp || $(<"$stamp") == *" in $ROOT" ]] || return 1
    done
}

ensure_venv() {
    local python what="." pip_words=() begun=$SECONDS
    stamped "$1" && return
    [[ $1 == test ]] && what=".[dev]"

    if [[ -e $VENV && ! -w $VENV ]]; then
        fail "$VENV belongs to another user; remove it, or run this as that user."
    fi
    if ! venv_usable; then
        python="$(python_command)" ||
            fail "Python 3.11 or newer is needed, with its venv module;" \
                "PYTHON=/path/to/python bash packaging/run.sh chooses one."
        if [[ -e $VENV ]]; then
            say "$VENV is unfinished, broken or from another place; making it anew."
        else
            say "Making $VENV with $python."
        fi
        # --clear empties the folder itself, so a link or a mount in its place stays.
        "$python" -m venv --clear "$VENV" >&2 ||
            fail "$python could not make $VENV."
    fi

    say "Installing snapview and its Python packages into $VENV."
    [[ -t 2 ]] || pip_words=(--quiet)
    : >"$UNFINISHED"
    if ! (cd "$ROOT" && env -u PYTHONPATH -u PYTHONHOME PIP_USER=0 PIP_NO_INPUT=1 \
        PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$VENV/bin/python" -m pip install "${pip_words[@]}" -e "$what" >&2); then
        rm -f "$UNFINISHED"  # pip undoes its own half-done work; only a kill leaves any
        fail "pip did not install everything. Is there a network? Its own words are above." \
            "Run this again; what was fetched is kept."
    fi
    fingerprint >"$VENV/.snapview-run"
    [[ $1 == test ]] && fingerprint >"$VENV/.snapview-test"
    rm -f "$UNFINISHED"
    say "Done in $((SECONDS - begun)) s."
}

# --- the whole ---------------------------------------------------------------------------------

# set_up run|test: afterwards .venv/bin/snapview (and the tests' tools) can be called.
set_up() {
    # An already set-up machine: one dpkg-query or rpm call, one start of Python, no network.
    if [[ -z $(lacking "$1") ]] && stamped "$1"; then
        return
    fi
    # Two runs at once: the second one waits here, and then finds everything in place.
    exec 9<"$ROOT/pyproject.toml"
    if ! flock -n 9; then
        say "Another set-up is at work in this folder; waiting for it."
        flock 9
    fi
    ensure_packages "$1" 9<&-
    ensure_venv "$1" 9<&-
    exec 9<&-
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    case "${1:-} ${2:-run}" in
        "needed run" | "needed test") needed "${2:-run}" ;;
        "lacking run" | "lacking test") lacking "${2:-run}" ;;
        *) fail "usage: bash packaging/system.sh needed|lacking [run|test]" ;;
    esac
fi
