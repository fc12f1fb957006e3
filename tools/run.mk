# SPDX-License-Identifier: GPL-2.0-or-later
# make run: Linux on XMHF in an emulator. Included by the top-level Makefile, after tools/images.mk.
##
## make run:   EMULATOR=bochs|qemu|auto  KERNEL=debian|tiny  CPUS=2  MEMORY=1024 (MiB)  JOB=jobs of examples/linux/jobs
##             LOADER=syslinux|grub  XMHF_ARGS=boot options of XMHF  APPEND=kernel arguments
##             SERIAL=1 (show the serial log)  HYPAPPS=other hypapps than ./configure chose  RUN_TIMEOUT=900 (seconds)
##             IMAGE=another image than build/xmhf.elf, such as hypapp-link makes  LINUX_JOBS=  LINUX_PROGRAMS=

EMULATOR ?= bochs
KERNEL ?= debian
CPUS ?= 2
MEMORY ?= 1024
RUN_IMAGE = $(or $(IMAGE),$(O)/xmhf.elf)
# PALs registered by hypercall, from L1 and L2; then by a kernel's list, in L2 and by the driver, which Debian's kernel
# has.
RUN_DEVICE = $(filter trustvisor-debian,$(filter trustvisor,$(HYPAPPS))-$(KERNEL))
RUN_PALS = pal-l1,pal-l2,pal-list$(if $(RUN_DEVICE),$(comma)pal-device)
JOB ?= $(if $(IMAGE),,$(if $(filter trustvisor,$(HYPAPPS)),$(RUN_PALS),pal-l2))
LOADER ?= syslinux
RUN_TIMEOUT ?= 900

RUN_KERNEL = $(O)/linux/$(if $(filter tiny,$(KERNEL)),tiny/bzImage,debian/vmlinuz)
RUN_INITRD = $(O)/linux/$(if $(filter tiny,$(KERNEL)),tiny,debian).cpio
# of the kernel; $(1): not empty for Bochs
RUN_APPEND = $(shell cat tools/linux/cmdline $(if $(1),tools/linux/cmdline.bochs)) $(if $(JOB),job=$(JOB)) $(APPEND)

.PHONY: run run-files
run-files: $(RUN_IMAGE) $(RUN_KERNEL) $(RUN_INITRD)
run: setup
	@$(MAKE) $(CHECK_PARALLEL) --no-print-directory run-files || \
		{ echo 'make run: FAILED: it does not build'; exit 1; }
	@emulator=$$(tests/run/emulator.py --which --emulator $(EMULATOR)) || \
		{ echo 'make run: FAILED: EMULATOR=$(EMULATOR) cannot be used here'; exit 1; }; \
	case $$emulator in bochs) append='$(call RUN_APPEND,bochs)' ;; *) append='$(call RUN_APPEND)' ;; esac; \
	tools/mkiso.py -o $(O)/run.iso --loader $(LOADER) --xmhf $(RUN_IMAGE) \
		--xmhf-args 'log-output=once $(XMHF_ARGS)' --kernel-file $(RUN_KERNEL) --initrd $(RUN_INITRD) \
		--append "$$append" && \
	tools/report.py --image $(O)/run.iso --emulator $$emulator --cpus $(CPUS) --megs $(MEMORY) --jobs '$(JOB)' \
		--timeout $(RUN_TIMEOUT) --log $(O)/run.log $(if $(SERIAL),--serial)
