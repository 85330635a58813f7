# Builds the native pieces: the eBPF programs, the CNI relay, and helpers of tests and benchmarks.
# Rebuilds only what is stale. A piece whose sources are absent is left out.

MULTIARCH := $(shell gcc -print-multiarch)

# v3 of the BPF instruction set has 32-bit jumps; the oldest kernel we support knows it.
# <asm/types.h> lives in the multiarch folder, where clang does not look for the bpf target.
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -I/usr/include/$(MULTIARCH)

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wformat=2
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2
# Static: no loader to run before main, and it works inside any mount namespace.
STATIC := -static-pie -Wl,-z,relro,-z,now,-z,noexecstack
PROGRAM_CFLAGS := -std=gnu11 -O2 $(WARNINGS) $(HARDENING)

BPF_OBJECTS := $(patsubst tagqueue/bpf/%.c,build/%.o,$(wildcard tagqueue/bpf/*.bpf.c))
RELAY := $(if $(wildcard cni/relay.c),bin/sluice-cni)
BENCHES := $(patsubst bench/%.c,build/bench/%,$(wildcard bench/*.c))
PAUSE := $(if $(wildcard test/images/pause.c),build/pause)

# The translator goes where Gluster's headers are; without them shared volumes cannot be mounted, and nothing else lacks it.
TRANSLATOR := storaged/translator
TRANSLATOR_PURE := $(addprefix $(TRANSLATOR)/,bucket.c shared-bucket.c limits.c flow.c guard.c gate.c requester.c extents.c)
TRANSLATOR_GLUSTER := $(addprefix $(TRANSLATOR)/,translator.c abi.c data.c names.c attributes.c xattrs.c room.c)
GLUSTER_HEADERS := $(wildcard /usr/include/glusterfs/xlator.h)
# What is built for glusterd itself needs none of its headers.
GLUSTERD := $(if $(wildcard storaged/glusterd/filter.c),build/sluice-volfiles build/sluice-patience.so)
TRANSLATORS := $(if $(wildcard $(TRANSLATOR)/translator.c),$(if $(GLUSTER_HEADERS),build/sluice-io.so) build/translator-test)
# glusterfs is linked to uuid and to the sources' own idea of 64-bit offsets; never unloaded, since its state outlives graphs.
GLUSTER_CFLAGS := $(shell pkg-config --cflags glusterfs-api 2>/dev/null)
TRANSLATOR_CFLAGS := -std=gnu11 -O2 $(WARNINGS) -fPIC -fvisibility=hidden -fstack-protector-strong \
  -D_FORTIFY_SOURCE=2 $(GLUSTER_CFLAGS)

.PHONY: all clean
.DELETE_ON_ERROR:

all: $(BPF_OBJECTS) $(RELAY) $(BENCHES) $(PAUSE) $(TRANSLATORS) $(GLUSTERD)

build/%.bpf.o: tagqueue/bpf/%.bpf.c $(wildcard tagqueue/bpf/*.h) Makefile
	@mkdir -p $(@D)
	@clang $(BPF_CFLAGS) -c $< -o $@
	@echo $@

bin/sluice-cni: $(wildcard cni/*.c) $(wildcard cni/*.h) Makefile
	@gcc $(PROGRAM_CFLAGS) $(filter %.c,$^) -o $@ $(STATIC) -s
	@echo $@

build/bench/%: bench/%.c $(wildcard bench/*.h) Makefile
	@mkdir -p $(@D)
	@gcc $(PROGRAM_CFLAGS) $< -o $@ -pthread
	@echo $@

build/pause: test/images/pause.c Makefile
	@mkdir -p $(@D)
	@gcc $(PROGRAM_CFLAGS) $< -o $@ $(STATIC) -s
	@echo $@

# CPPFLAGS is for a test that builds it against other headers.
%/sluice-io.so: $(TRANSLATOR_PURE) $(TRANSLATOR_GLUSTER) $(wildcard $(TRANSLATOR)/*.h) $(GLUSTER_HEADERS) Makefile
	@mkdir -p $(@D)
	@gcc $(CPPFLAGS) $(TRANSLATOR_CFLAGS) -shared $(filter %.c,$^) -o $@ -lglusterfs -pthread -Wl,-z,nodelete,-z,relro,-z,now,-z,noexecstack,-z,defs
	@echo $@

build/translator-test: $(TRANSLATOR_PURE) $(wildcard $(TRANSLATOR)/test/*.c $(TRANSLATOR)/test/*.h $(TRANSLATOR)/*.h) Makefile
	@mkdir -p $(@D)
	@gcc $(PROGRAM_CFLAGS) $(filter %.c,$^) -o $@ -pthread
	@echo $@

build/sluice-volfiles: storaged/glusterd/filter.c Makefile
	@mkdir -p $(@D)
	@gcc $(PROGRAM_CFLAGS) $< -o $@ $(STATIC) -s
	@echo $@

# What it calls of libglusterfs, glusterd has loaded.
build/sluice-patience.so: storaged/glusterd/patience.c Makefile
	@mkdir -p $(@D)
	@gcc -std=gnu11 -O2 $(WARNINGS) -fPIC -fvisibility=hidden -fstack-protector-strong -shared $< -o $@ -Wl,-z,relro,-z,noexecstack
	@echo $@

clean:
	rm -rf build bin/sluice-cni
