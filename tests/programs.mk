# SPDX-License-Identifier: GPL-2.0
# The test programs, included by the Makefile: `make programs` leaves them in
# build/tests/, where the selftests find them.

TEST_CFLAGS = -std=gnu11 -Wall -Wextra -O2 -g -D_FILE_OFFSET_BITS=64 -Iuapi
TEST_PROGRAMS := cached datagrams faults forger handshakes holder hostile journal keeplock kfuzz \
	lean letters races rawclient reconfigure scenarios together uapi-probe urgent

cached_SOURCES := tests/tools/cached.c
datagrams_SOURCES := tests/tools/datagrams.c
forger_SOURCES := $(wildcard tests/servers/forger/*.c)
forger_LIBS = -lgnutls
hostile_SOURCES := $(wildcard tests/servers/hostile/*.c)
journal_SOURCES := tests/soak/journal.c
keeplock_SOURCES := tests/tools/keeplock.c
keeplock_LIBS = -pthread
lean_SOURCES := tests/servers/lean.c
lean_LIBS = -pthread
letters_SOURCES := tests/tools/letters.c
letters_LIBS = -pthread
LIBRARY := $(wildcard tests/library/*.c)
uapi-probe_SOURCES := $(wildcard tests/uapi/*.c) $(LIBRARY)
uapi-probe_LIBS = -pthread
scenarios_SOURCES := $(patsubst %,tests/scenarios/%.c,scenarios control) $(LIBRARY) \
	tests/library/report/lines.c
scenarios_LIBS = -pthread
handshakes_SOURCES := $(patsubst %,tests/scenarios/%.c,handshakes control) $(LIBRARY) \
	tests/library/report/quiet.c
handshakes_LIBS = -pthread
holder_SOURCES := $(wildcard tests/holder/*.c) $(LIBRARY) tests/library/report/quiet.c
holder_LIBS = -pthread
faults_SOURCES := tests/faults/faults.c $(LIBRARY) tests/library/report/lines.c
faults_LIBS = -pthread
kfuzz_SOURCES := $(wildcard tests/kfuzz/*.c) $(LIBRARY) tests/library/report/lines.c
kfuzz_LIBS = -pthread
races_SOURCES := tests/races/races.c $(LIBRARY) tests/library/report/quiet.c
races_LIBS = -pthread
reconfigure_SOURCES := tests/tools/reconfigure.c $(LIBRARY) tests/library/report/quiet.c
reconfigure_LIBS = -pthread
rawclient_SOURCES := tests/bench/rawclient.c
together_SOURCES := tests/tools/together.c tests/tools/batch.c
urgent_SOURCES := tests/tools/urgent.c tests/tools/batch.c

TEST_OBJECTS :=

# One program of several files: $(1) is its name.
define test_program
$(BUILD)/tests/$(1): $$(patsubst tests/%.c,$(BUILD)/tests/objects/%.o,$$($(1)_SOURCES))
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$($(1)_LIBS)
TEST_OBJECTS += $$(patsubst tests/%.c,$(BUILD)/tests/objects/%.o,$$($(1)_SOURCES))
programs: $(BUILD)/tests/$(1)
endef

.PHONY: programs
programs:
$(foreach program,$(TEST_PROGRAMS),$(eval $(call test_program,$(program))))

$(BUILD)/tests/objects/%.o: tests/%.c tests/programs.mk
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -MMD -MP -c -o $@ $<

# hostile for its own test
$(BUILD)/tests/hostile-asan: $(hostile_SOURCES) \
		$(wildcard tests/servers/*.h tests/servers/hostile/*.h)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -fsanitize=address,undefined -o $@ $(hostile_SOURCES)

programs: $(BUILD)/tests/hostile-asan

# for the tests of TLS
$(BUILD)/tests/certificates/complete: tests/tls.sh
	@mkdir -p $(@D)
	bash -ec '. tests/tls.sh && new_certificates $(@D)'

programs: $(BUILD)/tests/certificates/complete

# for Debian's nbd-server
$(BUILD)/tests/nodh.so: tests/servers/nodh.c
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -shared -fPIC -o $@ $<

programs: $(BUILD)/tests/nodh.so

# for a client whose NBD_DO_IT fails
$(BUILD)/tests/refuse.so: tests/tools/refuse.c
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -shared -fPIC -o $@ $<

programs: $(BUILD)/tests/refuse.so

# for a client that hears late of what the driver announces
$(BUILD)/tests/late.so: tests/tools/late.c
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -shared -fPIC -o $@ $<

programs: $(BUILD)/tests/late.so

-include $(TEST_OBJECTS:.o=.d)
