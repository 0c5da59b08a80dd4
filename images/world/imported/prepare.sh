#!/bin/sh
#
# Runs once in an image that was made elsewhere, as root: adds the harness's files, which lie as a
# tar archive on a disk, and powers off.
#
# usage: tar -xOf DISK prepare.sh | sh -s -- DISK NONCE WAY

PATH=/sbin:/bin:/usr/sbin:/usr/bin
disk=$1 nonce=$2 way=$3

# Twice, because the kernel may print in between.
tell()
{
	printf '\n@harness-import %s %s.\n@harness-import %s %s.\n' \
	    "$nonce" "$*" "$nonce" "$*" >/dev/console
}

mkdir /var/run/harness-import || exit 0		# the other way in was faster
trap 'tell failed' EXIT
set -e

tar -xpf "$disk" -C / --strip-components 1 'files/*'
tar -xOf "$disk" rc.conf >>/etc/rc.conf.local
few=$(tar -xOf "$disk" scripts)
if [ -n "$few" ]; then
	chmod a-x /etc/rc.d/*
	for script in $few; do
		[ ! -e "/etc/rc.d/$script" ] || chmod a+x "/etc/rc.d/$script"
	done
fi
rm -rf /firstboot /var/run/harness-import
sync
trap - EXIT
tell "done $way"
halt -p
