/* SPDX-License-Identifier: GPL-2.0 */
/*
 * debugfs nbd/nbdX/{tasks,flags,size_bytes,timeout,blocksize_bits}, as mainline's,
 * while a session is attached. Compiles out without CONFIG_DEBUG_FS.
 */
#ifndef _NBD_DEBUGFS_H
#define _NBD_DEBUGFS_H

struct nbd_session;

#ifdef CONFIG_DEBUG_FS
void nbd_debugfs_init(void);
void nbd_debugfs_exit(void);
void nbd_debugfs_add(struct nbd_session *session);
/* When it returns nobody is reading there any more. */
void nbd_debugfs_remove(struct nbd_session *session);
#else
static inline void nbd_debugfs_init(void) { }
static inline void nbd_debugfs_exit(void) { }
static inline void nbd_debugfs_add(struct nbd_session *session) { }
static inline void nbd_debugfs_remove(struct nbd_session *session) { }
#endif

#endif /* _NBD_DEBUGFS_H */
