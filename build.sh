#!/bin/sh
# The one entry to Doppel's sources: sets up what this machine lacks, finds a
# Go that is new enough, then hands over to the builder in build/.
#
# It changes the machine only by installing Debian packages that are missing,
# and says so first. No kernel, boot loader or firmware package is among them:
# the parts of the live system are downloaded below the cache, from the Debian
# release named in build/apt.sh, through an apt of our own that the machine's apt
# never hears of. (qemu-system-x86, for tests, has the firmware of its virtual
# machines as a hard dependency; that cannot be avoided.)
set -eu
umask 022
PATH=$PATH:/usr/sbin:/sbin # where file system tools lie, for users too

usage() {
	cat <<'END'
usage: ./build.sh [image|test|bench|soak|qemu|host|clean] [options]

  image   out/doppel.iso, out/doppel and their sums (default)
  test    the image, if its inputs changed, then vet and all tests
  bench   the benchmarks
  soak    the tests with the long ones, then every fuzz target
  qemu    the image in QEMU with a sample system on its first disk
  host    out/doppel only: the commands for any Linux
  clean   removes out/ and what was unpacked below the cache, not the downloads

  --mirror URL   Debian mirror (default: the one in this machine's apt sources)
  --offline      use only what is in the cache
  --free         leave out everything from non-free-firmware
  --fuzz TIME    how long soak runs each fuzz target (3m; 0 is not at all)

What is downloaded is kept in $DOPPEL_CACHE (default: ~/.cache/doppel).
END
}

top=$(cd "$(dirname "$0")" && pwd)
cache=${DOPPEL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/doppel}

image_packages="ca-certificates debian-archive-keyring"
qemu_packages="qemu-system-x86 debootstrap gdisk fdisk dosfstools mtools e2fsprogs xorriso"
test_packages="
	apfsprogs
	b3sum btrfs-progs bzip2
	clonezilla cpio cryptsetup-bin
	dnsmasq-base
	exfat-fuse exfatprogs
	f2fs-tools
	gcc gddrescue genisoimage grub-common
	iproute2
	jfsutils
	kmod
	libc6-dev libfsapfs-utils lrzip lvm2 lz4 lzip lzop
	makefs mdadm
	nfs-ganesha nfs-ganesha-vfs nfs-kernel-server nginx-light nilfs-tools node-spdx-exceptions node-spdx-license-ids ntfs-3g
	openssh-client openssh-server
	partclone parted pigz python3-jsonschema
	qemu-utils
	reiserfsprogs rpcbind
	samba sleuthkit squashfs-tools
	udftools util-linux-extra
	xfsprogs xz-utils
	zstd"

# shellcheck source=build/apt.sh
. "$top/build/apt.sh"

say() { echo "build.sh: $*" >&2; }
die() {
	say "$*"
	exit 1
}

# lacking PACKAGE...: sets $missing to those that are not installed.
lacking() {
	missing=
	for p; do
		state=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
		[ "$state" = installed ] || missing="$missing $p"
	done
}

# need PACKAGE...: installs the packages that are missing, as root or by sudo.
need() {
	lacking "$@"
	[ -n "$missing" ] || return 0
	[ -z "$offline" ] || die "missing, and --offline was given; install:$missing"
	sudo=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "missing; as root: apt-get install --no-install-recommends$missing"
		sudo=sudo
	fi
	say "installing:$missing"
	$sudo apt-get -q update >&2
	leave_out_unknown
	[ -n "$missing" ] || return 0
	status=0
	hold_servers
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing >&2 || status=$?
	release_servers
	mount_list
	return $status
}

# hold_servers keeps the file servers among the test packages from being
# started as they are installed: tests start their own. release_servers ends
# that, and keeps new ones from starting with the machine.
policy=/usr/sbin/policy-rc.d
hold_servers() {
	held=
	if [ ! -e $policy ]; then
		held=yes
		printf '#!/bin/sh\nexit 101\n' | $sudo sh -c "cat >$policy && chmod 755 $policy"
	fi
}
release_servers() {
	[ -z "$held" ] || $sudo rm -f $policy
	command -v systemctl >/dev/null || return 0
	for p in $missing; do
		case $p in
		samba) units="smbd nmbd samba-ad-dc" ;;
		nfs-kernel-server) units="nfs-server" ;;
		nfs-ganesha) units="nfs-ganesha" ;;
		nginx-light) units=nginx ;;
		openssh-server) units=ssh ;;
		rpcbind) units="rpcbind.socket rpcbind" ;;
		*) continue ;;
		esac
		# shellcheck disable=SC2086 # units are words
		$sudo systemctl disable --quiet $units >&2 || true
	done
}

# mount_list makes the list of mounts that every installed Debian has (tmpfiles.d
# makes it) and a bare chroot has not: nfs-ganesha exports nothing without it.
mount_list() {
	case " $missing " in
	*" nfs-ganesha "*) [ -e /etc/mtab ] || $sudo ln -s ../proc/self/mounts /etc/mtab ;;
	esac
}

# leave_out_unknown takes from $missing those of the test packages that this
# release does not have: the tests that need them are skipped.
leave_out_unknown() {
	known=
	# shellcheck disable=SC2086,SC2116 # the list is one of words
	names=" $(echo $test_packages) "
	for p in $missing; do
		case $names in
		*" $p "*)
			if ! LC_ALL=C apt-cache policy "$p" | grep -q '^  Candidate: [^(]'; then
				say "this release has no $p: tests that need it are skipped"
				continue
			fi
			;;
		esac
		known="$known $p"
	done
	missing=$known
}

# older A B: version A is before version B.
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# find_go puts a Go first in PATH. go.mod names the version that is needed; a Go since 1.21
# fetches that itself, through whatever module proxy is in force.
find_go() {
	want=$(awk '$1 == "go" { print $2 }' "$top/go.mod")
	go=$(command -v go || true)
	have=
	[ -z "$go" ] || have=$(cd / && GOTOOLCHAIN=local "$go" env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
	if [ -z "$have" ] || older "$have" 1.21; then
		debian_go
	fi
	if older "$have" "$want"; then
		export GOTOOLCHAIN=auto
	fi
	goroot=$(cd "$top" && "$go" env GOROOT) || die "Go $have cannot fetch Go $want; put a newer Go in PATH"
	export PATH="$goroot/bin:$PATH"
}

# debian_go unpacks Debian's Go below the cache. Its standard library is left
# out where go.mod wants a newer one anyway.
debian_go() {
	apt_root
	lists
	name=$(APT_CONFIG=$apt/apt.conf apt-cache depends golang-go | sed -n 's/.*Depends: \(golang-[0-9.]*-go\)$/\1/p')
	[ -n "$name" ] || die "no Go in PATH and none in the cache; run once without --offline"
	have=${name#golang-} have=${have%-go}
	root=$cache/go/$(APT_CONFIG=$apt/apt.conf apt-cache show --no-all-versions "$name" | sed -n 's/^Version: //p')
	debs=$name
	older "$have" "$want" || debs="$name golang-$have-src"
	mkdir -p "$root"
	# shellcheck disable=SC2086
	(cd "$root" && APT_CONFIG=$apt/apt.conf apt-get -qq download $debs >&2) ||
		die "$name could not be downloaded; put Go $want in PATH"
	go=$root/tree/usr/lib/go-$have/bin/go
	if [ ! -x "$go" ]; then
		say "unpacking Debian's Go $have"
		rm -rf "$root/new"
		for deb in "$root"/*.deb; do
			dpkg-deb -x "$deb" "$root/new"
		done
		mv "$root/new" "$root/tree"
	fi
}

# user_mode_linux unpacks Debian's user-mode Linux below the cache: a kernel that
# runs as a program, for tests. It is that of Debian 12 everywhere: its libc is
# old enough for all, and the one of Debian 13 dies at once on processors with
# AMX, whose registers do not fit what it keeps of them.
user_mode_linux() { unpack_for_tests uml usr/bin/linux.uml user-mode-linux; }

# time_server does so with chrony, which would take the place of the service that
# sets this machine's clock if it were installed.
time_server() { unpack_for_tests chrony usr/sbin/chronyd chrony libcap2 libedit2 libbsd0 libmd0; }

# unpack_for_tests NAME FILE PACKAGE...: the packages of Debian 12, unpacked below
# $cache/NAME/tree, where FILE is one of theirs.
unpack_for_tests() {
	own=$cache/$1 file=$2 test_suite=bookworm
	shift 2
	[ ! -x "$own/tree/$file" ] || [ "$(cat "$own/suite" 2>/dev/null)" != $test_suite ] || return 0
	[ -z "$offline" ] || return 0
	mkdir -p "$own"
	rm -f "$own"/*.deb
	if ! (
		cache=$cache/uml suite=$test_suite
		apt_root
		lists
		cd "$own"
		APT_CONFIG=$apt/apt.conf apt-get -qq download "$@" >&2
	); then
		say "no $1: tests that need it will be skipped"
		return 0
	fi
	rm -rf "$own/new" "$own/tree"
	for deb in "$own"/*.deb; do
		dpkg-deb -x "$deb" "$own/new"
	done
	mv "$own/new" "$own/tree"
	echo $test_suite >"$own/suite"
}

verb=image mirror= offline= free= fuzz=
case ${1:-} in
image | test | bench | soak | qemu | host | clean)
	verb=$1
	shift
	;;
esac
while [ $# -gt 0 ]; do
	case $1 in
	--mirror)
		[ $# -gt 1 ] || die "--mirror needs an address"
		mirror=$2
		shift
		;;
	--mirror=*) mirror=${1#*=} ;;
	--fuzz)
		[ $# -gt 1 ] || die "--fuzz needs a time, like 30s"
		fuzz=$2
		shift
		;;
	--fuzz=*) fuzz=${1#*=} ;;
	--offline) offline=--offline ;;
	--free) free=--free ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done

[ -z "$fuzz" ] || [ "$verb" = soak ] || die "--fuzz is for soak"

apt=
case $verb in
clean)
	rm -rf "$top/out" "$cache/trees" "$cache/initramfs"
	exit 0
	;;
host) need ca-certificates ;;
image) need $image_packages ;;
qemu) need $image_packages $qemu_packages ;;
*)
	need $image_packages $qemu_packages $test_packages
	user_mode_linux
	time_server
	;;
esac
find_go
if [ $verb != host ]; then
	if [ -z "$apt" ]; then
		apt_root
		lists
	fi
	mirror=$(debian_mirror)
fi
cd "$top"
CGO_ENABLED=0 exec go run ./build --cache "$cache" --mirror "$mirror" $offline $free ${fuzz:+--fuzz "$fuzz"} "$verb"
