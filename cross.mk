# SPDX-License-Identifier: GPL-2.0
# Building for another architecture, for every makefile of this tree:
#   CROSS=s390x-linux-gnu   the compiler is s390x-linux-gnu-gcc; what it makes of the client and
#                           of the tests is under build/s390x-linux-gnu
#   SYSROOT=FOLDER          libraries and their headers are below it, and not where that
#                           compiler and s390x-linux-gnu-pkg-config look for them
BUILD = build$(CROSS:%=/%)

ifdef CROSS
CC = $(CROSS)-gcc$(if $(SYSROOT), --sysroot=$(abspath $(SYSROOT)))
PKG_CONFIG = $(if $(SYSROOT),$(SYSROOT_PKG_CONFIG),$(CROSS)-pkg-config)
SYSROOT_PKG_CONFIG = PKG_CONFIG_SYSROOT_DIR=$(abspath $(SYSROOT)) \
	PKG_CONFIG_LIBDIR=$(abspath $(SYSROOT))/usr/lib/$(MULTIARCH)/pkgconfig pkg-config
MULTIARCH := $(shell $(CROSS)-gcc -print-multiarch)
endif
PKG_CONFIG ?= pkg-config
