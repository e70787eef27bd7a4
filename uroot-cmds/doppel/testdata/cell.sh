# Runs Clonezilla's ocs-sr where it sees two disks and nothing else of this
# machine, in namespaces of its own:
#
#   bash -c "$(cat cell.sh)" cell FOLDER DISK DISK OPTION...
#
# FOLDER/images is /run/images.
set -eu
# Mounts of loop devices that this namespace inherited would keep those devices
# busy for everybody else.
sed -n 's/^\/dev\/loop[^ ]* \([^ ]*\) .*/\1/p' /proc/self/mounts | while read -r mounted; do
	umount -l "$mounted" 2>/dev/null || true
done
folder=$1 first=$2 second=$3
shift 3
new=$folder/cell
mkdir -p "$new"
mount -t tmpfs none "$new"
mkdir -p "$new/dev/shm" "$new/dev/pts" "$new/block" "$new/class"
for node in null zero full random urandom tty; do
	cp -a "/dev/$node" "$new/dev/"
done
ln -s /proc/self/fd "$new/dev/fd"
for disk in "$first" "$second"; do
	ln -s "$(realpath "/sys/block/$disk")" "$new/block/$disk"
	for node in "/sys/block/$disk" "/sys/block/$disk/$disk"*; do
		[ -e "$node/dev" ] || continue
		name=${node##*/}
		ln -s "$(realpath "$node")" "$new/class/$name"
		mknod "$new/dev/$name" b $(tr : ' ' <"$node/dev")
	done
done
grep -E "name|^$| ($first|$second)(p[0-9]+)?$" /proc/partitions >"$new/partitions"
mount --bind "$new/dev" /dev
mount -t proc none /proc
mount --bind "$new/partitions" /proc/partitions
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind "$new/block" /sys/block
mount --bind "$new/class" /sys/class/block
mount -t tmpfs none /run
mkdir /run/images
mount --bind "$folder/images" /run/images
for empty in /tmp /var/log /mnt; do
	mount -t tmpfs none "$empty"
done
cd /
exec ocs-sr "$@" </dev/null
