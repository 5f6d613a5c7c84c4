# build.sh PACKAGE CONFIG FOLDER: makes FOLDER/linux, a User-Mode Linux kernel, of Debian's package of the
# kernel's source, and sees that it runs a program on this machine. In a mount namespace of its own.
set -eu
package=$1 config=$2 folder=$3
source=$folder/source objects=$folder/objects try=$folder/try

mkdir -p "$source" "$objects" "$try"
# Without what no kernel of ours is made of, which is a third; every Kconfig has to be there.
dpkg-deb --fsys-tarfile "$package" |
tar -xO --wildcards '*/linux-source-*.tar.xz' |
tar -xJ -C "$source" --strip-components=1 \
  --exclude='*/arch/[!ux]*/*.[chS]' --exclude='*/arch/[!ux]*/*.dts*' \
  --exclude='*/drivers/gpu/*.[ch]' --exclude='*/sound/*.[ch]' \
  --exclude='*/Documentation/*.rst' --exclude='*/Documentation/*.yaml' \
  --exclude='*/tools/testing/*' --exclude='*/tools/perf/*'

cd "$source"
# The tick is not to be configured; 100 a second make time-outs coarse.
sed -i '/^config HZ$/,/default/s/default 100/default 250/' arch/um/Kconfig
make="make --silent ARCH=um O=$objects"
$make x86_64_defconfig
scripts/kconfig/merge_config.sh -m -O "$objects" "$objects/.config" "$config" >/dev/null
$make olddefconfig
# An option that this kernel no longer has would be missed by a test much later.
grep -E '^CONFIG_[A-Z0-9_]+=[^n]' "$config" | while read -r option; do
  grep -qxF "$option" "$objects/.config" || { echo "$option is not in the kernel's configuration" >&2; exit 1; }
done
$make -j"$(nproc)" linux
strip -o "$folder/linux" "$objects/linux"

cat >"$try/init.c" <<'END'
#include <sys/reboot.h>
#include <unistd.h>
int main(void) { write(1, "it runs\n", 8); reboot(RB_POWER_OFF); }
END
cc -static -o "$try/init" "$try/init.c"
echo "file /init $try/init 755 0 0" | "$objects/usr/gen_init_cpio" - >"$try/initramfs"
mount -t tmpfs tmpfs /dev/shm
export TMPDIR=/dev/shm
timeout 60 "$folder/linux" mem=64M initrd="$try/initramfs" con=null con0=null,fd:1 \
  uml_dir=/dev/shm/ umid=try seccomp=on panic=-1 quiet </dev/null >"$try/console" 2>&1 || :
grep -q 'it runs' "$try/console" || { tail -n 20 "$try/console" >&2; exit 1; }
rm -r "$source" "$objects" "$try"
