# The private apt, for build.sh: an apt with its own configuration, lists and
# packages below $cache, which installs nothing. Sourced, with say and die
# defined, and $cache, $mirror and $offline set. It sets $apt.

# The Debian release that the live system is made of.
suite=trixie

# host_mirrors prints the addresses of this machine's Debian mirror and of its
# security mirror. apt itself reads the sources, so every form of them is
# understood, and says what it would fetch.
host_mirrors() {
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	APT_CONFIG=$apt/apt.conf apt-get update --print-uris \
		-o Dir::Etc::sourcelist=/etc/apt/sources.list -o Dir::Etc::sourceparts=/etc/apt/sources.list.d |
		choose_mirrors "$codename"
}

# choose_mirrors CODENAME reads that and writes both addresses, or an empty word
# where there is none. Other archives use Debian's suite names too; the Debian
# one among them is that which has updates as well, or whose path ends in debian.
choose_mirrors() {
	awk -v codename="$1" -F "'" '
	match($2, /\/dists\/.*\/main\/binary-amd64\/Packages/) && $2 !~ /^cdrom:/ {
		base = substr($2, 1, RSTART - 1)
		name = substr($2, RSTART + 7)
		sub(/\/main\/binary-amd64\/Packages.*/, "", name)
		if (name ~ /-updates$/)
			updated[base] = 1
		else if (name ~ /-security$|\/updates$/)
			security = security == "" ? base : security
		else if (name == codename || name ~ /^(oldoldstable|oldstable|stable|testing|unstable|sid)$/)
			mirror[++n] = base
	}
	END {
		for (i = 1; i <= n; i++) {
			score = 1 + 2 * (mirror[i] in updated) + (mirror[i] ~ /\/debian$/)
			if (score > best) {
				best = score
				main = mirror[i]
			}
		}
		print main " " security
	}'
}

# apt_root sets up the private apt: an own configuration, of which only the
# transport (proxies, certificates, ...) comes from the machine's, so that
# the machine's hooks stay out; own lists; an empty dpkg status.
apt_root() {
	apt=$cache/apt
	mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/state" "$apt/parts"
	: >"$apt/state/status"
	cat >"$apt/apt.conf.new" <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "$apt/parts";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$apt/state";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
// _apt cannot enter a home directory
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::GzipIndexes "false";
Acquire::Check-Valid-Until "true";
Acquire::Retries "3";
END
	apt-config dump | grep -E '^Acquire::([a-z][a-z0-9+]*::|ForceIPv|Proxy)|^Dir::Bin::methods ' |
		grep -Ev '^Acquire::(cdrom|gpgv)::' >>"$apt/apt.conf.new" || true
	mv "$apt/apt.conf.new" "$apt/apt.conf"
	[ -n "$offline" ] && [ -s "$apt/sources.list" ] && return 0
	if [ -n "$mirror" ]; then
		main=${mirror%/} security=
	else
		mirrors=$(host_mirrors)
		main=${mirrors% *} security=${mirrors#* }
		[ -n "$main" ] || die "no Debian mirror in this machine's apt sources; name one: --mirror URL"
	fi
	[ -n "$security" ] || security=${main%/*}/debian-security
	for keyring in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
		[ ! -e $keyring ] || break
	done
	by="[signed-by=$keyring arch=amd64]"
	cat >"$apt/sources.list" <<END
deb $by $main $suite main non-free-firmware
deb $by $main $suite-updates main non-free-firmware
deb $by $security $suite-security main non-free-firmware
END
}

# debian_mirror prints the address that the private apt uses.
debian_mirror() { sed -n '1s/.*\] \([^ ]*\).*/\1/p' "$apt/sources.list"; }

# lists fetches the package lists anew. Without a network apt would keep the
# old ones and report success; here that is an error, unless asked for.
lists() {
	[ -z "$offline" ] || return 0
	say "package lists of $suite: $(debian_mirror)"
	APT_CONFIG=$apt/apt.conf flock "$apt" apt-get -qq update >&2 && return 0
	newest=$(find "$apt/lists" -name '*_InRelease' -exec date -r {} '+%F %R' \; | sort | tail -n 1)
	[ -n "$newest" ] || die "the package lists could not be fetched, and the cache holds none"
	die "the package lists could not be fetched; to use those of $newest: --offline"
}
