# image.sh ROOT OUT: takes the kernel and a base initramfs out of a freshly installed ROOT.
# The initramfs holds busybox and what the kernel needs to find its disk: the cloud kernels have
# virtio_blk as a module, 6.1 also virtio_pci. Unpacked here, so that insmod of busybox can load them.
set -eu
root=$1 out=$2
version=$(ls "$root/lib/modules")

cp "$root/boot/vmlinuz-$version" "$out/vmlinuz"
tree=$root/run/initramfs
mkdir -p "$tree/bin" "$tree/modules"
cp "$root/bin/busybox" "$tree/bin/"
chroot "$root" modprobe --set-version "$version" --all --show-depends virtio_pci virtio_blk |
awk '!seen[$0]++' |
while read -r kind file _; do
  [ "$kind" = insmod ] || continue
  name=$(basename "$file")
  case $name in
    *.ko) cp "$root$file" "$tree/modules/$name" ;;
    *.ko.xz) xz -dc "$root$file" >"$tree/modules/${name%.xz}" ;;
    *.ko.zst) zstd -dc "$root$file" >"$tree/modules/${name%.zst}" ;;
  esac
  echo "${name%%.*}.ko" >>"$tree/modules/order"
done
chroot "$root" sh -c 'cd /run/initramfs && find . | busybox cpio -H newc -o' >"$out/initramfs.cpio" 2>"$out/log"
rm -r "$tree" "$out/log" "$root/boot/vmlinuz-$version"

# Each guest names itself at boot; nothing in a guest may ask a name server that is not there.
rm -f "$root/etc/resolv.conf" "$root/etc/machine-id"
: >"$root/etc/machine-id"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
