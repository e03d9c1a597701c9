// SPDX-License-Identifier: GPL-2.0
/*
 * Where an attachment's servers are looked for.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "address.h"
#include "folders.h"
#include "namespace.h"
#include "rundir.h"

/* Where the monitor that ran last lives, in the form of home_format. */
#define HOME_NAME ".monitor-namespaces"
#define HOME_FILE NBD_RUN_DIR "/" HOME_NAME
/* Held by who mounts in the folder of mount namespaces, or unmounts the folder. */
#define FOLDER_LOCK_NAME ".mntns"
/* Since Linux 6.11; before, the number of the inode has to do. */
#ifndef NS_GET_MNTNS_ID
#define NS_GET_MNTNS_ID _IOR(0xb7, 0x5, __u64)
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static const char home_format[] = "net %llu mnt %llu\n";

const struct nbd_place nbd_here = { .net = -1, .mnt = -1, .owner = NBD_ANYBODY };

/** struct ids - the numbers of two namespaces */
struct ids {
	u64 net;
	u64 mnt;
};

/** enum kind - what kind of namespace */
enum kind { NET, MNT };

static const struct {
	const char *name;	/* under /proc/PID/ns */
	const char *folder;	/* where they are kept */
	const char *words;
	int type;
} kinds[] = {
	[NET] = { "net", NBD_RUN_DIR "/netns", "network namespace", CLONE_NEWNET },
	[MNT] = { "mnt", NBD_RUN_DIR "/mntns", "mount namespace", CLONE_NEWNS },
};

static int open_of_process(const char *process, enum kind kind)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%s/ns/%s", process,
		 kinds[kind].name);
	return nbd_folder_open(path, O_RDONLY, 0);
}

static int open_own(enum kind kind)
{
	return open_of_process("thread-self", kind);
}

/* --- their numbers --- */

static u64 inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

/* A socket knows the cookie of its namespace, which no other ever has. */
static u64 net_id(const struct nbd_place *place)
{
	int fd = nbd_place_socket(place, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC);
	socklen_t len = sizeof(u64);
	u64 cookie = 0;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len))
		cookie = 0;
	if (fd >= 0)
		close(fd);
	return cookie;
}

static u64 mnt_id(int fd)
{
	u64 id;

	return ioctl(fd, NS_GET_MNTNS_ID, &id) ? inode_of(fd) : id;
}

static u64 id_of(enum kind kind, int fd)
{
	const struct nbd_place place = { .net = fd, .mnt = -1 };

	return kind == NET ? net_id(&place) : mnt_id(fd);
}

static u64 own_id(enum kind kind)
{
	int fd;
	u64 id;

	if (kind == NET)
		return net_id(&nbd_here);
	fd = open_own(kind);
	id = fd < 0 ? 0 : mnt_id(fd);
	if (fd >= 0)
		close(fd);
	return id;
}

/* --- what servers need --- */

static bool is_path(const struct nbd_server *s)
{
	return s->family == NBD_UNIX && s->host[0];
}

static bool is_name(const struct nbd_server *s)
{
	struct nbd_address_list list = { 0 };

	return s->family == NBD_TCP && nbd_resolve_numeric(&list, s, 0);
}

static bool needs(const struct nbd_params *params, enum kind kind)
{
	const struct nbd_server *s;
	unsigned int i;

	for (i = 0; i < params->nservers; i++) {
		s = &params->servers[i];
		if (kind == NET ? !is_path(s) : is_path(s) || is_name(s))
			return true;
	}
	return false;
}

/* --- where they are kept --- */

/* The first version has the name that an earlier release gives and looks for. */
static char *kept_path(enum kind kind, s32 index, u32 version, char *buf,
		       size_t size)
{
	int len = snprintf(buf, size, "%s/nbd%d", kinds[kind].folder, index);

	if (version)
		snprintf(buf + len, size - len, ".%u", version);
	return buf;
}

static void release(const char *path)
{
	const char *relative = path;
	int folder;

	umount2(nbd_folder_enter(path), MNT_DETACH);
	nbd_folder_leave();
	folder = nbd_folder_of(&relative);
	unlinkat(folder, relative, 0);
}

/* "nbd7" and "nbd7.2" are of device 7. */
static bool is_of(const char *name, s32 index)
{
	char wanted[16];
	size_t len = snprintf(wanted, sizeof(wanted), "nbd%d", index);

	return !strncmp(name, wanted, len) && (!name[len] || name[len] == '.');
}

/* The folder is no mount any more when nothing is kept in it. Waits for nobody. */
static void unmount_folder(enum kind kind)
{
	int lock = nbd_rundir_lock(FOLDER_LOCK_NAME, LOCK_EX, NBD_LOCK_TRY, NULL);

	if (lock < 0)
		return;
	umount2(nbd_folder_enter(kinds[kind].folder), 0);
	nbd_folder_leave();
	close(lock);
}

static void drop_kind(enum kind kind, s32 index, const char *except)
{
	int fd = nbd_folder_open(kinds[kind].folder, O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	bool dropped = false;
	char path[320];
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", kinds[kind].folder,
			 e->d_name);
		if (!is_of(e->d_name, index) || (except && !strcmp(path, except)))
			continue;
		release(path);
		dropped = true;
	}
	if (dir)
		closedir(dir);
	if (dropped && kind == MNT)
		unmount_folder(kind);
}

void nbd_namespaces_drop(s32 index, const struct nbd_namespaces *except)
{
	char path[NBD_NAMESPACE_PATH_MAX];
	enum kind kind;

	for (kind = NET; kind <= MNT; kind++)
		drop_kind(kind, index, except ?
			  kept_path(kind, index, except->version, path,
				    sizeof(path)) : NULL);
}

/* --- where the monitor lives --- */

/* NBD_RUN_DIR is the same folder for PID 1. */
static bool shares_run_dir(void)
{
	struct stat ours, theirs;

	return !stat(NBD_RUN_DIR, &ours) &&
	       !stat("/proc/1/root" NBD_RUN_DIR, &theirs) &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

static u64 initial_id(enum kind kind)
{
	int fd = open_of_process("1", kind);
	u64 id = fd < 0 ? 0 : id_of(kind, fd);

	if (fd >= 0)
		close(fd);
	return id;
}

static int enter_initial(enum kind kind)
{
	int fd, ret;

	if (initial_id(kind) == own_id(kind))
		return 0;
	fd = open_of_process("1", kind);
	ret = fd < 0 || setns(fd, kinds[kind].type) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return ret;
}

void nbd_namespaces_settle(void)
{
	bool shared = !nbd_rundir_make(NULL) && shares_run_dir();

	/* Stock drivers announce their events in the initial namespace only. */
	enter_initial(NET);
	if (shared)
		enter_initial(MNT);
}

int nbd_namespaces_announce(struct nbd_err *err)
{
	int fd = nbd_rundir_create_file(HOME_NAME, 0644, err), ret = 0;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, 0) ||
	    dprintf(fd, home_format, own_id(NET), own_id(MNT)) < 0)
		ret = -errno;
	close(fd);
	if (!ret)
		return 0;
	return nbd_fail(err, nbd_exit_of_errno(-ret), -ret, "cannot write %s: %s",
			HOME_FILE, strerror(-ret));
}

/* Of the monitor that runs or ran last, or else of the one that would be started. */
static void find_home(struct ids *home)
{
	int fd = nbd_rundir_open_file(HOME_NAME, NULL);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	bool shared = shares_run_dir();

	home->net = initial_id(NET);
	home->mnt = shared ? initial_id(MNT) : 0;
	if (!home->net)
		home->net = own_id(NET);
	if (!home->mnt)
		home->mnt = own_id(MNT);
	if (!file)
		return;
	if (fscanf(file, home_format, &home->net, &home->mnt) != 2)
		memset(home, 0, sizeof(*home));
	fclose(file);
}

/* --- keeping --- */

/*
 * What is mounted below a shared mount, as /run is where systemd runs, appears in other mount
 * namespaces, too, and that the kernel refuses for a mount namespace. So their folder is a
 * mount of its own, and private. The lock is held until this process ends, for between the
 * two somebody might unmount the folder, or cover it.
 */
static int prepare_folder(const char *folder)
{
	int lock = nbd_rundir_lock(FOLDER_LOCK_NAME, LOCK_EX, NBD_LOCK_WAIT_MS, NULL);

	if (lock < 0)
		return lock;
	if (!mount(NULL, folder, NULL, MS_PRIVATE, NULL))
		return 0;	/* it is a mount already */
	if (mount(folder, folder, NULL, MS_BIND, NULL) ||
	    mount(NULL, folder, NULL, MS_PRIVATE, NULL))
		return -errno;
	return 0;
}

/*
 * In a child, because the mount must be made where the monitor sees it. (The kernel allows
 * it for a mount namespace in an older one only: none can keep itself.)
 */
static void __noreturn bind_and_exit(enum kind kind, const char *path,
				     bool elsewhere)
{
	int ns = open_own(kind), fd, ret;
	char source[64];

	if (ns < 0 || (elsewhere && enter_initial(MNT)))
		_exit(errno);
	snprintf(source, sizeof(source), "/proc/self/fd/%d", ns);
	mkdir(NBD_RUN_DIR, 0755);
	mkdir(kinds[kind].folder, 0755);
	ret = kind == MNT ? prepare_folder(kinds[kind].folder) : 0;
	if (ret)
		_exit(-ret);
	fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	if (fd < 0 || mount(source, path, NULL, MS_BIND, NULL))
		_exit(errno);
	_exit(0);
}

static int bind_namespace(enum kind kind, const char *path, bool elsewhere)
{
	int status;
	pid_t child = fork();

	if (!child)
		bind_and_exit(kind, path, elsewhere);
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int cannot_keep(enum kind kind, const char *why, struct nbd_err *err)
{
	return nbd_fail(err, NBD_EXIT_FAILURE, EPERM,
			"cannot keep the %s, without which the device would not be reconnected: %s: run nbd-client where the monitor lives (nsenter --target 1 --mount --net), give this container a /run of its own, or use -no-persist",
			kinds[kind].words, why);
}

static int keep_kind(enum kind kind, const struct nbd_params *params,
		     u32 version, const struct ids *home, struct nbd_err *err)
{
	bool elsewhere = home->mnt != own_id(MNT);
	char path[NBD_NAMESPACE_PATH_MAX];
	int ret;

	if (elsewhere && home->mnt != initial_id(MNT))
		return cannot_keep(kind, "that of the monitor cannot be entered from here",
				   err);
	kept_path(kind, params->index, version, path, sizeof(path));
	ret = bind_namespace(kind, path, elsewhere);
	return ret ? cannot_keep(kind, strerror(-ret), err) : 0;
}

static int keep_needed(struct nbd_namespaces *ns, const struct nbd_params *params,
		       struct nbd_err *err)
{
	struct ids home;
	int ret = 0;

	find_home(&home);
	if (needs(params, NET) && ns->net != home.net) {
		ret = keep_kind(NET, params, ns->version, &home, err);
		ns->net_kept = !ret;
	}
	if (!ret && needs(params, MNT) && ns->mnt != home.mnt) {
		ret = keep_kind(MNT, params, ns->version, &home, err);
		ns->mnt_kept = !ret;
	}
	return ret;
}

int nbd_namespaces_keep(struct nbd_namespaces *ns,
			const struct nbd_params *params, struct nbd_err *err)
{
	int ret;

	ns->net = own_id(NET);
	ns->mnt = own_id(MNT);
	ns->net_kept = false;
	ns->mnt_kept = false;
	ret = keep_needed(ns, params, err);
	return params->reconnect == NBD_RECONNECT_NEVER ? 0 : ret;
}

/* --- using --- */

/* Not the file below it, of which the mount is not seen. */
static int open_namespace(const char *path)
{
	int fd = nbd_folder_open(path, O_RDONLY, 0);
	struct statfs st;

	if (fd < 0 || (!fstatfs(fd, &st) && st.f_type == NSFS_MAGIC))
		return fd;
	close(fd);
	errno = ENOENT;
	return -1;
}

/*
 * Some systems do not move /run from the initramfs, but mount it once more. Who was
 * started in the initramfs does not see what is mounted there later.
 */
static int open_kept(enum kind kind, s32 index, u32 version)
{
	char path[NBD_NAMESPACE_PATH_MAX], of_init[80];
	int fd;

	kept_path(kind, index, version, path, sizeof(path));
	fd = open_namespace(path);
	if (fd >= 0)
		return fd;
	snprintf(of_init, sizeof(of_init), "/proc/1/root%s", path);
	return open_namespace(of_init);
}

/* @id of 0 is in an earlier release's record, which says only whether it is kept. */
static int open_kind(enum kind kind, const struct nbd_namespaces *ns, s32 index)
{
	const bool kept = kind == NET ? ns->net_kept : ns->mnt_kept;
	const u64 id = kind == NET ? ns->net : ns->mnt;
	int fd;

	if (id ? id == own_id(kind) : !kept)
		return -1;
	/* What is not kept is where monitors live: PID 1's as a rule. */
	fd = kept ? open_kept(kind, index, ns->version) :
		    open_of_process("1", kind);
	if (fd < 0)
		return -ENOENT;
	if (!id || id_of(kind, fd) == id)
		return fd;
	close(fd);
	return -ENOENT;
}

static int is_lost(enum kind kind, s32 index, struct nbd_err *err)
{
	return nbd_fail(err, NBD_EXIT_CONNECT, ENOENT,
			"the %s that the device was attached in is lost or cannot be entered from here, and in another one its servers could be others: give them anew from where they are reached, with nbd-client -replace HOST /dev/nbd%d",
			kinds[kind].words, index);
}

int nbd_namespaces_open(struct nbd_place *place,
			const struct nbd_namespaces *ns,
			const struct nbd_params *params, struct nbd_err *err)
{
	*place = nbd_here;
	if (needs(params, NET))
		place->net = open_kind(NET, ns, params->index);
	if (place->net < -1)
		return is_lost(NET, params->index, err);
	if (needs(params, MNT))
		place->mnt = open_kind(MNT, ns, params->index);
	if (place->mnt >= -1)
		return 0;
	nbd_place_close(place);
	return is_lost(MNT, params->index, err);
}

bool nbd_namespaces_know_files(const struct nbd_namespaces *ns)
{
	return ns->mnt || !ns->net_kept;
}

void nbd_place_close(struct nbd_place *place)
{
	if (place->net >= 0)
		close(place->net);
	if (place->mnt >= 0)
		close(place->mnt);
	*place = nbd_here;
}

int nbd_place_enter(const struct nbd_place *place)
{
	if (place->net >= 0 && setns(place->net, CLONE_NEWNET))
		return -errno;
	return place->mnt >= 0 && setns(place->mnt, CLONE_NEWNS) ? -errno : 0;
}

/* A socket belongs to the namespace that its maker is in at that moment. */
int nbd_place_socket(const struct nbd_place *place, int family, int type)
{
	int home, fd, error;

	if (place->net < 0)
		return socket(family, type, 0);
	home = open_own(NET);
	if (home < 0)
		return -1;
	fd = setns(place->net, CLONE_NEWNET) ? -1 : socket(family, type, 0);
	error = errno;
	if (setns(home, CLONE_NEWNET) && fd >= 0) {
		error = errno;
		close(fd);
		fd = -1;
	}
	close(home);
	errno = error;
	return fd;
}

char *nbd_kept_net(const struct nbd_namespaces *ns, s32 index, char *buf)
{
	return ns->net_kept ? kept_path(NET, index, ns->version, buf,
					NBD_NAMESPACE_PATH_MAX) : NULL;
}

char *nbd_kept_mnt(const struct nbd_namespaces *ns, s32 index, char *buf)
{
	return ns->mnt_kept ? kept_path(MNT, index, ns->version, buf,
					NBD_NAMESPACE_PATH_MAX) : NULL;
}
