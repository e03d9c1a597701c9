/* SPDX-License-Identifier: GPL-2.0 */
/* What tests/client/watch.c plays, by the linker's --wrap, and what it takes the place of. */
#ifndef NBD_TEST_WRAPPED_H
#define NBD_TEST_WRAPPED_H

#include "../../client/kernel.h"
#include "../../client/store.h"
#include "../../client/resolver.h"

bool __wrap_nbd_kernel_knows(const struct nbd_kernel *k, unsigned int attribute);
unsigned int __wrap_nbd_kernel_live(struct nbd_kernel *k, s32 index);
int __wrap_nbd_kernel_reconfigure(struct nbd_kernel *k, const struct nbd_kernel_config *config,
				  struct nbd_kernel_reply *reply, struct nbd_err *err);
u64 __wrap_nbd_record_id(s32 index);
int __wrap_nbd_record_update(const struct nbd_record *record, u64 *file, struct nbd_err *err);
bool __wrap_nbd_resolver_take(struct nbd_resolver_job *job, struct nbd_address_list *result);
void __wrap_nbd_resolver_submit(struct nbd_resolver_job *job);
bool __real_nbd_kernel_knows(const struct nbd_kernel *k, unsigned int attribute);
unsigned int __real_nbd_kernel_live(struct nbd_kernel *k, s32 index);
int __real_nbd_kernel_reconfigure(struct nbd_kernel *k, const struct nbd_kernel_config *config,
				  struct nbd_kernel_reply *reply, struct nbd_err *err);
u64 __real_nbd_record_id(s32 index);
int __real_nbd_record_update(const struct nbd_record *record, u64 *file, struct nbd_err *err);
bool __real_nbd_resolver_take(struct nbd_resolver_job *job, struct nbd_address_list *result);
void __real_nbd_resolver_submit(struct nbd_resolver_job *job);
void __wrap_nbd_log(int priority, const char *fmt, ...);

#endif /* NBD_TEST_WRAPPED_H */
