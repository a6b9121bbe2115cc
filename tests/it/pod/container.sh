# A container: a root of its own, in which the machine's programs are, an /etc of its own, and the image's files.
# $DIR the pod's folder, $IMAGE engine or manager, $ROOTFS the sources' folder, $SUPERVISOR and $POLARCTL the programs,
# $PG the engine's folder. The container's environment is in $DIR/$IMAGE.env, a line each.
set -e
mount --make-rprivate /
root=$DIR/$IMAGE
mkdir -p "$root"
mount -t tmpfs -o mode=755 tmpfs "$root"
for one in /*; do
    case $one in /proc | /sys | /dev | /etc | /data | /log | /tmp | /run | /u01 | /docker_script) continue ;; esac
    if [ -L "$one" ]; then
        cp -P "$one" "$root$one"
    elif [ -d "$one" ]; then
        mkdir "$root$one"
        mount --bind "$one" "$root$one"
    fi
done
mkdir "$root/proc" "$root/dev" "$root/run" "$root/data" "$root/log" "$root/u01" "$root/tmp"
chmod 1777 "$root/tmp"
cp -a /etc "$root/etc"
rm -rf "$root/etc/polardb" "$root/etc/postgres"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount --bind "$DIR/data" "$root/data"
mount --bind "$DIR/log" "$root/log"
mount -t tmpfs -o mode=755 tmpfs "$root/usr/local/bin"
mount -t tmpfs -o mode=755 tmpfs "$root/var/log"
# As the Dockerfiles copy them: the manager image builds on the engine image.
cp -a --no-preserve=ownership "$ROOTFS/common/." "$ROOTFS/engine/." "$ROOTFS/$IMAGE/." "$root/"
for program in "$SUPERVISOR" "$POLARCTL"; do
    touch "$root/usr/local/bin/${program##*/}"
    mount --bind "$program" "$root/usr/local/bin/${program##*/}"
done
ln -s "$PG" "$root/u01/polardb_pg"
mkdir -p -m 2775 "$root/run/postgresql" && chown postgres:postgres "$root/run/postgresql"
exec env -i $(cat "$DIR/$IMAGE.env") chroot "$root" "$@"
