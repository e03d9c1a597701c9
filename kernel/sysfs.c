// SPDX-License-Identifier: GPL-2.0
/* What sysfs shows of an attachment. */
#include <linux/blkdev.h>
#include <linux/device.h>
#include <linux/sysfs.h>
#include "device.h"
#include "session.h"
#include "sysfs.h"

static struct nbd_session *dev_session(struct device *dev)
{
	return nbd_device_session(dev_to_disk(dev)->private_data);
}

static ssize_t pid_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct nbd_session *session = dev_session(dev);
	ssize_t ret;

	if (!session)
		return -ENODEV;
	ret = sysfs_emit(buf, "%d\n", pid_nr(session->pid));
	nbd_session_put(session);
	return ret;
}
static DEVICE_ATTR_RO(pid);

static ssize_t backend_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct nbd_session *session = dev_session(dev);
	ssize_t ret;

	if (!session)
		return -ENODEV;
	ret = sysfs_emit(buf, "%s\n", session->params.backend ?: "");
	nbd_session_put(session);
	return ret;
}
static DEVICE_ATTR_RO(backend);

static struct attribute *nbd_attrs[] = {
	&dev_attr_pid.attr,
	&dev_attr_backend.attr,
	NULL,
};

static umode_t nbd_attr_visible(struct kobject *kobj, struct attribute *attr, int n)
{
	struct nbd_session *session = dev_session(kobj_to_dev(kobj));
	umode_t mode = 0;

	if (!session)
		return 0;
	/* An attachment by ioctl never had an identifier. */
	if (attr == &dev_attr_pid.attr || session->params.netlink)
		mode = attr->mode;
	nbd_session_put(session);
	return mode;
}

static const struct attribute_group nbd_attr_group = {
	.attrs		= nbd_attrs,
	.is_visible	= nbd_attr_visible,
};

const struct attribute_group *nbd_attr_groups[] = {
	&nbd_attr_group,
	NULL,
};

void nbd_sysfs_update(struct nbd_device *nbd)
{
	if (sysfs_update_group(&nbd_dev(nbd)->kobj, &nbd_attr_group))
		nbd_warn(nbd, "sysfs attributes cannot be updated\n");
}
