// SPDX-License-Identifier: GPL-2.0
/* What debugfs shows of an attachment. */
#ifdef CONFIG_DEBUG_FS
#include <linux/debugfs.h>
#include <linux/log2.h>
#include <linux/seq_file.h>
#include "debugfs.h"
#include "device.h"
#include "session.h"

static struct dentry *nbd_dbg_root;

static int tasks_show(struct seq_file *s, void *unused)
{
	struct nbd_session *session = s->private;

	seq_printf(s, "recv: %d\n", pid_nr(session->pid));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(tasks);

static const struct {
	u32 flag;
	const char *name;
} nbd_flag_names[] = {
	{ NBD_FLAG_HAS_FLAGS, "NBD_FLAG_HAS_FLAGS" },
	{ NBD_FLAG_READ_ONLY, "NBD_FLAG_READ_ONLY" },
	{ NBD_FLAG_SEND_FLUSH, "NBD_FLAG_SEND_FLUSH" },
	{ NBD_FLAG_SEND_FUA, "NBD_FLAG_SEND_FUA" },
	{ NBD_FLAG_SEND_TRIM, "NBD_FLAG_SEND_TRIM" },
	{ NBD_FLAG_SEND_WRITE_ZEROES, "NBD_FLAG_SEND_WRITE_ZEROES" },
	{ NBD_FLAG_ROTATIONAL, "NBD_FLAG_ROTATIONAL" },
	{ NBD_FLAG_CAN_MULTI_CONN, "NBD_FLAG_CAN_MULTI_CONN" },
};

static int flags_show(struct seq_file *s, void *unused)
{
	struct nbd_session *session = s->private;
	u32 flags = session->params.flags;
	unsigned int i;

	seq_printf(s, "Hex: 0x%08x\n\n", flags);
	seq_puts(s, "Known flags:\n");
	for (i = 0; i < ARRAY_SIZE(nbd_flag_names); i++)
		if (flags & nbd_flag_names[i].flag)
			seq_printf(s, "%s\n", nbd_flag_names[i].name);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(flags);

/* In jiffies, as mainline's. */
static int timeout_get(void *data, u64 *val)
{
	struct nbd_session *session = data;

	*val = READ_ONCE(session->params.timeout) * HZ;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(timeout_fops, timeout_get, NULL, "%llu\n");

static int blocksize_bits_get(void *data, u64 *val)
{
	struct nbd_session *session = data;

	*val = ilog2(session->params.blksize);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(blocksize_bits_fops, blocksize_bits_get, NULL, "%llu\n");

void nbd_debugfs_init(void)
{
	nbd_dbg_root = debugfs_create_dir("nbd", NULL);
}

void nbd_debugfs_exit(void)
{
	debugfs_remove_recursive(nbd_dbg_root);
}

void nbd_debugfs_add(struct nbd_session *session)
{
	struct dentry *dir;

	dir = debugfs_create_dir(session->nbd->disk->disk_name, nbd_dbg_root);
	session->dbg_dir = dir;
	debugfs_create_file("tasks", 0444, dir, session, &tasks_fops);
	debugfs_create_file("flags", 0444, dir, session, &flags_fops);
	debugfs_create_u64("size_bytes", 0444, dir, &session->params.size);
	debugfs_create_file_unsafe("timeout", 0444, dir, session, &timeout_fops);
	debugfs_create_file_unsafe("blocksize_bits", 0444, dir, session, &blocksize_bits_fops);
}

void nbd_debugfs_remove(struct nbd_session *session)
{
	debugfs_remove_recursive(session->dbg_dir);
	session->dbg_dir = NULL;
}
#endif
