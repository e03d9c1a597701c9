/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests/client/watch.c, status.c and record.c play, by the linker's --wrap, and what it
 * takes the place of.
 */
#ifndef NBD_TEST_WRAPPED_H
#define NBD_TEST_WRAPPED_H

#include "../../client/bringup.h"
#include "../../client/kernel.h"
#include "../../client/outage.h"
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
void __wrap_nbd_bringup_start(struct nbd_bringup *b, enum nbd_goal goal, bool structured,
			      const struct nbd_params *params, struct nbd_listing *listing,
			      const struct nbd_address_list *list, unsigned int wanted,
			      const struct nbd_place *place);
bool __real_nbd_kernel_knows(const struct nbd_kernel *k, unsigned int attribute);
unsigned int __real_nbd_kernel_live(struct nbd_kernel *k, s32 index);
int __real_nbd_kernel_reconfigure(struct nbd_kernel *k, const struct nbd_kernel_config *config,
				  struct nbd_kernel_reply *reply, struct nbd_err *err);
u64 __real_nbd_record_id(s32 index);
int __real_nbd_record_update(const struct nbd_record *record, u64 *file, struct nbd_err *err);
bool __real_nbd_resolver_take(struct nbd_resolver_job *job, struct nbd_address_list *result);
void __real_nbd_resolver_submit(struct nbd_resolver_job *job);
void __real_nbd_bringup_start(struct nbd_bringup *b, enum nbd_goal goal, bool structured,
			      const struct nbd_params *params, struct nbd_listing *listing,
			      const struct nbd_address_list *list, unsigned int wanted,
			      const struct nbd_place *place);
int __wrap_nbd_kernel_open(struct nbd_kernel *k, bool load, struct nbd_err *err);
void __wrap_nbd_kernel_close(struct nbd_kernel *k);
int __wrap_nbd_kernel_status(struct nbd_kernel *k, s32 index, nbd_status_fn fn, void *arg,
			     struct nbd_err *err);
pid_t __wrap_nbd_monitor_pid(void);
int __wrap_nbd_rundir_open(struct nbd_err *err);
int __wrap_nbd_record_read_at(int folder, struct nbd_record *record, s32 index,
			      struct nbd_err *err);
int __wrap_nbd_outage_read(s32 index, struct nbd_outage *outage);
int __real_nbd_kernel_open(struct nbd_kernel *k, bool load, struct nbd_err *err);
void __real_nbd_kernel_close(struct nbd_kernel *k);
int __real_nbd_kernel_status(struct nbd_kernel *k, s32 index, nbd_status_fn fn, void *arg,
			     struct nbd_err *err);
pid_t __real_nbd_monitor_pid(void);
int __real_nbd_rundir_open(struct nbd_err *err);
int __real_nbd_record_read_at(int folder, struct nbd_record *record, s32 index,
			      struct nbd_err *err);
int __real_nbd_outage_read(s32 index, struct nbd_outage *outage);
int __wrap_nbd_rundir_open_file_at(int folder, const char *name, struct nbd_err *err);
int __real_nbd_rundir_open_file_at(int folder, const char *name, struct nbd_err *err);
void __wrap_nbd_log(int priority, const char *fmt, ...);

#endif /* NBD_TEST_WRAPPED_H */
