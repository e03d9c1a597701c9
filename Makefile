# SPDX-License-Identifier: GPL-2.0
# `make help` lists the targets.

include cross.mk

# Without KVER, which kernel's module is built is found out, and said.
ifndef KVER
CHOSEN := $(shell sh kernel/probe/release 2>/dev/null)
KVER := $(firstword $(CHOSEN))
endif
KDIR ?= /lib/modules/$(KVER)/build
OUT ?= build/$(KVER)

# V=1 shows the commands.
Q := $(if $(V),,@)

DESTDIR ?=
PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
UNITDIR ?= $(PREFIX)/lib/systemd/system
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
GENERATORDIR ?= $(PREFIX)/lib/systemd/system-generators
# The one place where systemd looks, if it is there.
SHUTDOWNDIR ?= /usr/lib/systemd/system-shutdown
LIBDIR ?= $(PREFIX)/lib/nbd
# Where dracut looks, if it is there.
DRACUTDIR ?= /usr/lib/dracut/modules.d
# Where mkinitramfs looks: packages' hooks, and the administrator's.
INITRAMFSDIR ?= $(if $(filter /usr,$(PREFIX)),/usr/share,/etc)/initramfs-tools
MODDIR ?= /lib/modules/$(KVER)/updates
DKMSDIR = /usr/src/nbd-$(RELEASE)

# Released as RELEASE; between releases git tells more.
RELEASE := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
GIT_REVISION := $(shell git -C $(CURDIR) rev-parse --short HEAD 2>/dev/null)
VERSION := $(RELEASE)$(if $(GIT_REVISION),+g$(GIT_REVISION))

LIBS := libnl-3.0 libnl-genl-3.0 libkmod gnutls blkid
CFLAGS ?= -O2 -g
CLIENT_CFLAGS = -std=gnu11 -Wall -Wextra -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iuapi \
	-DNBD_VERSION='"$(VERSION)"' $(shell $(PKG_CONFIG) --cflags $(LIBS)) $(CPPFLAGS) $(CFLAGS)
CLIENT_LIBS = $(shell $(PKG_CONFIG) --libs $(LIBS))
# What both halves have in common: how replies are read.
CLIENT_SHARED = kernel/wire.c kernel/framing.c kernel/cover.c
CLIENT_OBJECTS := $(patsubst client/%.c,$(BUILD)/client/%.o,$(wildcard client/*.c)) \
	$(patsubst kernel/%.c,$(BUILD)/client/shared/%.o,$(CLIENT_SHARED))

MAN8 := $(wildcard Documentation/*.8)
MAN7 := $(wildcard Documentation/*.7)
MAN5 := $(wildcard Documentation/*.5)
COMPLETION := $(wildcard system/nbd-client.completion)
UNITS := $(patsubst system/%.in,%,$(wildcard system/*.service.in))

.PHONY: all
all: module client

# --- the module ---

# Kbuild writes beside the sources, so it is given a tree of links to them. Two
# builds into one folder wait for each other.
.PHONY: module
module:
	$(if $(CROSS),$(if $(CHOSEN),$(error CROSS needs KVER=RELEASE and KDIR=FOLDER, too)))
	@test -n "$(KVER)" || sh kernel/probe/release
	$(if $(CHOSEN),@echo "  FOR     $(CHOSEN)")
	@test -e "$(KDIR)" || { echo "make: no kernel headers: $(KDIR)" >&2; exit 1; }
	@mkdir -p $(OUT)
	+@flock $(OUT)/.lock $(MAKE) --no-print-directory kbuild

.PHONY: kbuild
kbuild:
	@find $(OUT) -xtype l -delete
	@cp -rsf $(abspath kernel) $(abspath Kbuild) $(OUT)/
	@ln -sfn $(abspath uapi) $(OUT)/uapi
	$(if $(NBD_KUNIT),@mkdir -p $(OUT)/tests && cp -rsf $(abspath tests/kunit) $(OUT)/tests/)
	$(Q)$(MAKE) -C $(KDIR) M=$(abspath $(OUT)) \
		NBD_KUNIT=$(NBD_KUNIT) NBD_RELEASE=$(RELEASE) KCFLAGS="$(EXTRA_CFLAGS)" \
		$(if $(wildcard $(KDIR)/vmlinux),,CONFIG_DEBUG_INFO_BTF_MODULES=) \
		$(if $(CROSS),CROSS_COMPILE=$(CROSS)-) \
		$(KBUILD_ARGS) modules

# --- the client ---

.PHONY: client
client: $(BUILD)/nbd-client $(BUILD)/bound

$(BUILD)/nbd-client: $(CLIENT_OBJECTS)
	@echo "  LD      $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLIENT_LIBS)

$(BUILD)/client/%.o: client/%.c $(BUILD)/client/flags
	@echo "  CC      $<"
	$(Q)$(CC) $(CLIENT_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/client/shared/%.o: kernel/%.c $(BUILD)/client/flags
	@echo "  CC      $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CLIENT_CFLAGS) -MMD -MP -c -o $@ $<

# What ends a machine whose root's server is gone: it needs the C library only.
$(BUILD)/bound: system/boot/bound.c $(BUILD)/client/flags
	@echo "  CCLD    $@"
	$(Q)$(CC) -std=gnu11 -Wall -Wextra -D_GNU_SOURCE $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<

# Changes when the flags do, the version among them.
.PHONY: FORCE
$(BUILD)/client/flags: FORCE
	@mkdir -p $(@D)
	@echo "$(subst ",\",$(CC) $(CLIENT_CFLAGS))" | cmp -s - $@ || \
		echo "$(subst ",\",$(CC) $(CLIENT_CFLAGS))" >$@

-include $(CLIENT_OBJECTS:.o=.d)

-include tests/programs.mk

# --- installation ---

.PHONY: install
install: all
	install -D -m 644 $(OUT)/nbd.ko $(DESTDIR)$(MODDIR)/nbd.ko
	$(if $(DESTDIR),,depmod $(KVER))
	$(MAKE) --no-print-directory install-client install-boot
	$(if $(DESTDIR),,system/refresh-initramfs $(KVER))

# $(call INSTALL_FILLED,FROM,TO,MODE): with the folders that it names filled in
define INSTALL_FILLED
install -d $(dir $(DESTDIR)$(2))
sed 's|@SBINDIR@|$(SBINDIR)|; s|@LIBDIR@|$(LIBDIR)|' $(1) >$(DESTDIR)$(2)
chmod $(3) $(DESTDIR)$(2)

endef

.PHONY: install-client
install-client: client
	install -D -m 755 $(BUILD)/nbd-client $(DESTDIR)$(SBINDIR)/nbd-client
	$(if $(MAN8),install -D -m 644 -t $(DESTDIR)$(MANDIR)/man8 $(MAN8))
	$(if $(MAN7),install -D -m 644 -t $(DESTDIR)$(MANDIR)/man7 $(MAN7))
	$(if $(MAN5),install -D -m 644 -t $(DESTDIR)$(MANDIR)/man5 $(MAN5))
	$(if $(COMPLETION),install -D -m 644 $(COMPLETION) $(DESTDIR)$(COMPLETIONDIR)/nbd-client)
	$(foreach unit,$(UNITS),$(call INSTALL_FILLED,system/$(unit).in,$(UNITDIR)/$(unit),644))
	$(call INSTALL_FILLED,system/nbd-generator.sh.in,$(GENERATORDIR)/nbd-generator,755)
	$(call INSTALL_FILLED,system/59-nbd.rules.in,$(UDEVDIR)/59-nbd.rules,644)
	$(if $(DESTDIR)$(filter-out /usr%,$(SHUTDOWNDIR))$(wildcard $(SHUTDOWNDIR)), \
		install -D -m 755 system/nbd-kexec.sh $(DESTDIR)$(SHUTDOWNDIR)/nbd-kexec)
	$(if $(DESTDIR),,$(RELOAD))

# systemd and udev, where they run
RELOAD = if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi; \
	if [ -e /run/udev/control ]; then udevadm control --reload; fi

# What earlier versions have installed, and none reads any more.
FORMER := $(LIBDIR)/bound.sh $(INITRAMFSDIR)/scripts/local-top/nbd-boot

# What makes an initramfs that boots from a network block device.
.PHONY: install-boot
install-boot: $(BUILD)/bound
	rm -f $(addprefix $(DESTDIR),$(FORMER))
	install -D -m 644 system/boot/nbd-boot.sh $(DESTDIR)$(LIBDIR)/nbd-boot.sh
	install -m 755 system/boot/shutdown.sh $(BUILD)/bound $(DESTDIR)$(LIBDIR)/
	$(call INSTALL_FILLED,system/initramfs-tools/hook.in,$(INITRAMFSDIR)/hooks/nbd-boot,755)
	install -D -m 755 system/initramfs-tools/init-premount \
		$(DESTDIR)$(INITRAMFSDIR)/scripts/init-premount/nbd-boot
	install -D -m 755 system/initramfs-tools/local-bottom \
		$(DESTDIR)$(INITRAMFSDIR)/scripts/local-bottom/nbd-boot
	install -D -m 755 system/initramfs-tools/init-bottom \
		$(DESTDIR)$(INITRAMFSDIR)/scripts/init-bottom/nbd-boot
	$(if $(DESTDIR)$(filter-out /usr%,$(DRACUTDIR))$(wildcard $(DRACUTDIR)),$(INSTALL_DRACUT))

define INSTALL_DRACUT
install -d $(DESTDIR)$(DRACUTDIR)/96nbd-boot
install -m 755 $(wildcard system/dracut/*.sh) $(DESTDIR)$(DRACUTDIR)/96nbd-boot/
$(call INSTALL_FILLED,system/dracut/module-setup.sh.in,$(DRACUTDIR)/96nbd-boot/module-setup.sh,755)
endef

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(MODDIR)/nbd.ko $(DESTDIR)$(SBINDIR)/nbd-client \
		$(addprefix $(DESTDIR)$(MANDIR)/man8/,$(notdir $(MAN8))) \
		$(addprefix $(DESTDIR)$(MANDIR)/man7/,$(notdir $(MAN7))) \
		$(addprefix $(DESTDIR)$(MANDIR)/man5/,$(notdir $(MAN5))) \
		$(DESTDIR)$(COMPLETIONDIR)/nbd-client \
		$(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS)) \
		$(DESTDIR)$(UDEVDIR)/59-nbd.rules $(DESTDIR)$(SHUTDOWNDIR)/nbd-kexec \
		$(DESTDIR)$(GENERATORDIR)/nbd-generator $(DESTDIR)$(LIBDIR)/nbd-boot.sh \
		$(DESTDIR)$(LIBDIR)/shutdown.sh $(DESTDIR)$(LIBDIR)/bound \
		$(addprefix $(DESTDIR)$(INITRAMFSDIR)/,hooks/nbd-boot \
			scripts/init-premount/nbd-boot scripts/local-bottom/nbd-boot \
			scripts/init-bottom/nbd-boot) \
		$(addprefix $(DESTDIR),$(FORMER))
	rm -rf $(DESTDIR)$(DRACUTDIR)/96nbd-boot
	[ ! -d $(DESTDIR)$(LIBDIR) ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(LIBDIR)
	$(if $(DESTDIR),,depmod $(KVER))
	$(if $(DESTDIR),,system/refresh-initramfs $(KVER))
	$(if $(DESTDIR),,$(RELOAD))

# DKMS builds the module again for every kernel that is installed later.
.PHONY: dkms-install
dkms-install:
	@test -n "$(DESTDIR)" || command -v dkms >/dev/null || \
		{ echo "make: dkms is not installed" >&2; exit 1; }
	install -d $(DESTDIR)$(DKMSDIR)
	cp -r Kbuild Makefile cross.mk LICENSE dkms.conf kernel uapi $(DESTDIR)$(DKMSDIR)/
	install -D -m 755 -t $(DESTDIR)$(DKMSDIR)/system system/refresh-initramfs
	$(if $(DESTDIR),,dkms install nbd/$(RELEASE) $(addprefix -k ,$(KVER)))

# The initramfs of each kernel that has the module is made anew without it.
define DKMS_REMOVE
kernels=$$(dkms status nbd/$(RELEASE) | sed -n 's/^[^,]*, \([^,]*\), .*: installed.*/\1/p'); \
	dkms remove nbd/$(RELEASE) --all && rm -rf $(DKMSDIR) && \
	for kernel in $$kernels; do system/refresh-initramfs $$kernel || exit; done
endef

.PHONY: dkms-uninstall
dkms-uninstall:
	$(if $(DESTDIR),rm -rf $(DESTDIR)$(DKMSDIR),$(DKMS_REMOVE))

.PHONY: clean
clean:
	rm -rf build || sudo rm -rf build

# --- packages ---

.PHONY: deb
deb:
	@debian/dependencies
	debian/build

# Checks that the versions agree; tags nothing.
.PHONY: release
release:
	.ci/release

# --- tests ---

.PHONY: packages
packages:
	tests/install-packages.sh

.PHONY: check
check: packages
	tests/run

.PHONY: check-debug
check-debug: packages
	tests/debug/run

.PHONY: check-kcsan
check-kcsan: packages
	tests/debug/run kcsan

.PHONY: kernels
kernels: packages
	tests/kernels/news

.PHONY: fuzz
fuzz: packages
	tests/fuzz/run $(or $(SECONDS),20)

.PHONY: static
static: packages
	tests/static/run

.PHONY: soak
soak: packages
	MINUTES=$(or $(MINUTES),30) TESTS=soak STOCK=0 VERBOSE=1 tests/run

.PHONY: mutations
mutations: packages
	tests/mutations/run

.PHONY: bench
bench: packages
	tests/bench/run

.PHONY: demo
demo: packages
	tests/demo.sh

.PHONY: demo-boot
demo-boot: packages
	tests/demo-boot.sh

.PHONY: help
help:
	@echo 'make                     nbd.ko for $(KVER), and nbd-client'
	@echo 'make module KVER=R       build/R/nbd.ko for the kernel release R'
	@echo 'make client              build/nbd-client'
	@echo 'make CROSS=TRIPLET KVER=R KDIR=FOLDER SYSROOT=FOLDER'
	@echo '                         both for another architecture: with TRIPLET-gcc, the headers'
	@echo '                         of that kernel, and the libraries below SYSROOT'
	@echo 'make install, uninstall  both, and the man pages; DESTDIR and PREFIX are honoured'
	@echo 'make dkms-install        the module through DKMS; dkms-uninstall'
	@echo 'make deb                 Debian packages of both, into build/deb'
	@echo 'make release             whether this tree can be released, and how'
	@echo 'make demo                attach a disk in a VM and watch'
	@echo 'make demo-boot           boot a machine in a VM from such a disk'
	@echo 'make check               all tests, in VMs with the kernels 6.1, 6.12, 7.3;'
	@echo '                         TESTS=pattern KERNELS=6.12 FULL=1 STRICT=1'
	@echo 'make check-debug         the tests on a kernel that checks itself'
	@echo 'make check-kcsan         some of them on one that looks for data races'
	@echo 'make kernels             which kernels in the archive are new, and whether the module'
	@echo '                         builds for them'
	@echo 'make static              checkpatch, sparse, analyzers, shellcheck'
	@echo 'make fuzz SECONDS=N      fuzz each part of nbd-client that reads foreign bytes'
	@echo 'make soak MINUTES=N      everything at once, for so long'
	@echo 'make mutations           that the tests notice what is taken out of the sources'
	@echo 'make bench               what an I/O costs, beside the stock driver and NVMe/TCP;'
	@echo '                         KERNELS=6.12 CASES=pattern QUICK=1'
	@echo 'make clean               removes build/, kernels and packages included'
