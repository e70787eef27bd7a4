#!/bin/sh
# mirrors.sh CODENAME: reads what `apt-get update --print-uris` prints, writes
# the address of the Debian mirror and that of the security mirror, or an
# empty word where there is none.
#
# Other archives use Debian's suite names too; the Debian one among them is
# that which has updates as well, or whose path ends in debian.
exec awk -v codename="${1:-}" -F "'" '
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
