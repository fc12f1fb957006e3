// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * /dev/trustvisor: PALs by consent of the operating system. See README.md for what it is for, trustvisor_ioctl.h for
 * what programs ask.
 *
 * The driver owns the pages of a PAL and maps them by page frame number, so nothing that takes pages by way of struct
 * page (get_user_pages, swapping, migration, merging, collapse) sees them. Invariants:
 *
 * - A file has a PAL of the process that made CREATE (`mm`); no other process maps it or registers it.
 * - While a PAL is registered each section is mapped once, whole and at its address. What changes a mapping ends it.
 *   But shared code: the process keeps its own there, and TrustVisor copies what write() has left in the pages.
 * - Pages go back to Linux when no mapping is left (mappings hold the file), after the PAL has ended, and zeroed.
 *
 * Locks: mmap_lock, then tv_file.lock (user memory is not touched under that one), then all_lock.
 */
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "trustvisor_ioctl.h"

static uint l2_base = TV_L2_BASE_DEFAULT;
module_param(l2_base, uint, 0444);
MODULE_PARM_DESC(l2_base, "what a guest of a hypervisor adds to hypercall numbers");
static uint user_pals = 16, user_pages = 1024;
module_param(user_pals, uint, 0644);
MODULE_PARM_DESC(user_pals, "files with pages that one user may have, but root");
module_param(user_pages, uint, 0644);
MODULE_PARM_DESC(user_pages, "pages in all of them");

struct tv_file {
	struct mutex lock;
	struct list_head all;     /* all_lock */
	kuid_t user;              /* constant */
	pid_t tgid;               /* of who made CREATE, as all up to `pages` */
	char comm[TASK_COMM_LEN];
	struct mm_struct *mm;     /* held by mmgrab(): compared, not used */
	struct tv_pal_sections sections;
	uint page_count;          /* 0 before CREATE; changed under all_lock, too */
	struct page **pages;
	uint maps[TV_MAX_SECTIONS];
	bool spoiled;             /* a mapping was moved or copied: no longer to be registered */
	bool registered;
	bool lost;                /* could not be unregistered: its pages do not go back */
	u64 handle;
	struct tv_ioc_status last; /* as of its end */
};

static LIST_HEAD(all_files);
static DEFINE_MUTEX(all_lock);
static u64 ended_calls, ended_faults; /* all_lock: of PALs that are gone */
static uint level;                    /* 1, 2 */

/* ---- Hypercalls ---- */

struct tv_regs {
	unsigned long ax, bx, cx, dx, si, di;
};

static u32 hypercall(u32 command, struct tv_regs *r)
{
	r->ax = command + (level == 2 ? l2_base : 0);
	asm volatile("vmcall"
		     : "+a"(r->ax), "+b"(r->bx), "+c"(r->cx), "+d"(r->dx), "+S"(r->si), "+D"(r->di)
		     :
		     : "memory", "cc");
	return (u32)r->ax;
}

static u32 by_handle(const struct tv_file *f, u32 command, struct tv_regs *r)
{
	*r = (struct tv_regs){ .cx = (u32)f->handle, .dx = f->handle >> 32 };
	return hypercall(command, r);
}

static bool detect(u32 subleaf)
{
	u32 eax = TV_CPUID_LEAF, ebx, ecx = subleaf, edx;

	asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return eax == TV_CPUID_PRESENT;
}

/* ---- The end of a PAL ---- */

static uint first_page(const struct tv_file *f, uint section)
{
	uint first = 0;

	while (section--)
		first += f->sections.sections[section].page_num;
	return first;
}

/*
 * The hypervisor of a virtual machine may have taken pages away for now: reads of them bring them back, and end none.
 * Without that the handle is unknown there.
 */
static void touch_pages(const struct tv_file *f)
{
	uint i;

	for (i = 0; i < f->page_count && level == 2; i++)
		READ_ONCE(*(u8 *)page_address(f->pages[i]));
}

static u32 read_status(struct tv_file *f, struct tv_ioc_status *status)
{
	struct tv_regs r;
	u32 result;

	touch_pages(f);
	result = by_handle(f, TV_CMD_STATUS_LIST, &r);
	if (result == TV_OK)
		*status = (struct tv_ioc_status){ .size = sizeof(*status), .present = r.cx & 1, .why = r.cx >> 8 & 0xff,
						  .vector = r.cx >> 16 & 0xff, .error_code = r.dx, .calls = r.bx,
						  .rip = r.si, .address = r.di };
	return result;
}

#define END_TRIES 5
#define END_WAIT_MS (2 * 60 * 1000)

/*
 * With the lock. True: it was there until now. A PAL that runs on another CPU ends with its call, which the
 * hypervisor's partition-time bounds.
 */
static bool end_pal(struct tv_file *f)
{
	uint waited, tries = 0;
	u32 result = TV_E_BUSY;
	bool there;

	if (!f->registered)
		return false;
	there = read_status(f, &f->last) == TV_OK && f->last.present;
	for (waited = 0; waited < END_WAIT_MS && result == TV_E_BUSY; waited++) {
		struct tv_regs r;

		touch_pages(f);
		result = by_handle(f, TV_CMD_UNREGISTER_LIST, &r);
		if (result == TV_E_NO_PAL && level == 2 && ++tries < END_TRIES)
			result = TV_E_BUSY;
		if (result == TV_E_BUSY)
			msleep(1);
	}
	/* Gone already is as good. Anything else must not happen; a page that is written to would end the PAL, too. */
	f->lost = result != TV_OK && result != TV_E_NO_PAL;
	if (f->lost)
		pr_err("trustvisor: PAL of process %d is not unregistered: %u\n", f->tgid, result);
	f->registered = false;
	f->last.present = 0;
	mutex_lock(&all_lock);
	ended_calls += f->last.calls;
	ended_faults += f->last.why == TV_WHY_FAULT || f->last.why == TV_WHY_EXIT || f->last.why == TV_WHY_TIME;
	mutex_unlock(&all_lock);
	return there;
}

/* ---- Mappings ---- */

static uint section_at(const struct tv_file *f, unsigned long start)
{
	uint i;

	for (i = 0; i < f->sections.num_sections; i++)
		if (f->sections.sections[i].start_addr == start)
			break;
	return i;
}

/* A mapping that is moved or copied: there are two for a moment. */
static void vma_open(struct vm_area_struct *vma)
{
	struct tv_file *f = vma->vm_file->private_data;

	mutex_lock(&f->lock);
	f->spoiled = true;
	end_pal(f);
	mutex_unlock(&f->lock);
}

static void vma_close(struct vm_area_struct *vma)
{
	struct tv_file *f = vma->vm_file->private_data;
	uint section;

	mutex_lock(&f->lock);
	end_pal(f);
	section = section_at(f, vma->vm_start);
	if (section < f->sections.num_sections && f->maps[section])
		f->maps[section]--;
	mutex_unlock(&f->lock);
}

static int vma_may_split(struct vm_area_struct *vma, unsigned long at)
{
	return -EINVAL;
}

/* No fault handler: all is mapped from the beginning. No access method: ptrace and /proc/PID/mem get an error. */
static const struct vm_operations_struct vm_ops = {
	.open = vma_open,
	.close = vma_close,
	.may_split = vma_may_split,
};

static void set_flags(struct vm_area_struct *vma, bool code)
{
	const unsigned long set = VM_PFNMAP | VM_IO | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_mod(vma, set, code ? VM_MAYWRITE : VM_MAYEXEC);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~(code ? VM_MAYWRITE : VM_MAYEXEC);
#endif
}

static int map_section(struct tv_file *f, struct vm_area_struct *vma)
{
	uint section = section_at(f, vma->vm_start), first, i;
	const struct tv_pal_section *s = &f->sections.sections[section];
	bool code = s->type == TV_SECTION_CODE;

	if (section == f->sections.num_sections || s->type == TV_SECTION_SHARED_CODE ||
	    vma->vm_pgoff != first_page(f, section) ||
	    vma->vm_end - vma->vm_start != (unsigned long)s->page_num * PAGE_SIZE || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & (code ? VM_WRITE : VM_EXEC))
		return -EACCES;
	if (f->maps[section] || f->registered || f->spoiled)
		return -EBUSY;
	set_flags(vma, code);
	first = first_page(f, section);
	for (i = 0; i < s->page_num; i++)
		if (vmf_insert_pfn(vma, vma->vm_start + i * PAGE_SIZE, page_to_pfn(f->pages[first + i])) !=
		    VM_FAULT_NOPAGE)
			return -ENOMEM;
	f->maps[section] = 1;
	vma->vm_ops = &vm_ops;
	return 0;
}

static int tv_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct tv_file *f = file->private_data;
	int error = -EPERM;

	mutex_lock(&f->lock);
	if (f->mm == current->mm)
		error = map_section(f, vma);
	mutex_unlock(&f->lock);
	return error;
}

/* ---- Pages ---- */

static void free_pages_of(struct tv_file *f)
{
	uint i;

	for (i = 0; f->pages && i < f->page_count && f->pages[i]; i++) {
		clear_page(page_address(f->pages[i]));
		__free_page(f->pages[i]);
	}
	kvfree(f->pages);
	f->pages = NULL;
}

/* Counts the user's pages, and these among them if they fit in. */
static int charge(struct tv_file *f, uint count)
{
	uint pals = 1, pages = count;
	const struct tv_file *other;
	int error = 0;

	mutex_lock(&all_lock);
	list_for_each_entry(other, &all_files, all)
		if (uid_eq(other->user, f->user) && other->page_count) {
			pals++;
			pages += other->page_count;
		}
	if ((pals > user_pals || pages > user_pages) && !uid_eq(f->user, GLOBAL_ROOT_UID))
		error = -EDQUOT;
	else
		f->page_count = count;
	mutex_unlock(&all_lock);
	return error;
}

static int get_pages(struct tv_file *f, uint count)
{
	int error = charge(f, count);
	uint i;

	if (error)
		return error;
	f->pages = kvcalloc(count, sizeof(*f->pages), GFP_KERNEL);
	for (i = 0; f->pages && i < count; i++) {
		f->pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!f->pages[i])
			break;
	}
	if (f->pages && i == count)
		return 0;
	free_pages_of(f);
	mutex_lock(&all_lock);
	f->page_count = 0;
	mutex_unlock(&all_lock);
	return -ENOMEM;
}

/* ---- Requests ---- */

static int create(struct tv_file *f, const struct tv_ioc_create *request)
{
	uint count = 0, i;
	int error;

	if (f->page_count)
		return -EBUSY;
	if (request->num_sections == 0 || request->num_sections > TV_MAX_SECTIONS)
		return -EINVAL;
	for (i = 0; i < request->num_sections; i++) {
		const struct tv_pal_section *s = &request->sections[i];

		if (s->page_num == 0 || s->page_num > TV_MAX_PAGES || (s->start_addr & ~PAGE_MASK) ||
		    s->start_addr >= TASK_SIZE_MAX || s->type < TV_SECTION_CODE || s->type > TV_SECTION_SHARED_CODE)
			return -EINVAL;
		count += s->page_num;
	}
	if (count > TV_MAX_PAGES)
		return -EINVAL;
	error = get_pages(f, count);
	if (error)
		return error;
	f->sections.num_sections = request->num_sections;
	memcpy(f->sections.sections, request->sections, sizeof(request->sections));
	f->mm = current->mm;
	mmgrab(f->mm);
	f->tgid = current->tgid;
	get_task_comm(f->comm, current->group_leader);
	return 0;
}

static void fill_list(const struct tv_file *f, const struct tv_ioc_register *request, struct tv_list *list)
{
	uint section, i, page = 0;

	list->version = TV_LIST_VERSION;
	list->flags = request->flags;
	list->entry_count = request->entry_count;
	list->page_count = f->page_count;
	list->options = request->options; /* TrustVisor judges them */
	memcpy(list->entries, request->entries, sizeof(request->entries));
	for (section = 0; section < f->sections.num_sections; section++) {
		const struct tv_pal_section *s = &f->sections.sections[section];

		for (i = 0; i < s->page_num; i++, page++) {
			list->pages[page].linear = s->start_addr + i * PAGE_SIZE;
			list->pages[page].physical = page_to_phys(f->pages[page]) | s->type;
		}
	}
}

#define REGISTER_TRIES 8

/* In a virtual machine all pages are written to, or its hypervisor may have other ones there than it will have. */
static u32 call_register(struct tv_file *f, struct tv_list *list)
{
	u32 result = TV_E_FAULT;
	struct tv_regs r;
	uint tries, i;

	for (tries = 0; tries < REGISTER_TRIES && (result == TV_E_FAULT || result == TV_E_OWNED); tries++) {
		for (i = 0; i < f->page_count && level == 2; i++) {
			volatile u8 *byte = page_address(f->pages[i]);

			*byte = *byte;
		}
		r = (struct tv_regs){ .cx = virt_to_phys(list) };
		result = hypercall(TV_CMD_REGISTER_LIST, &r);
	}
	f->handle = (u32)r.cx | (u64)r.dx << 32;
	return result;
}

static int register_pal(struct tv_file *f, const struct tv_ioc_register *request)
{
	struct tv_list *list;
	u32 result;
	uint i;

	if (!f->page_count || request->entry_count == 0 || request->entry_count > TV_MAX_ENTRIES || request->pad ||
	    (request->flags & ~TV_LIST_FLAGS))
		return -EINVAL;
	if (f->mm != current->mm)
		return -EPERM;
	if (f->registered || f->spoiled || f->lost)
		return -EBUSY;
	for (i = 0; i < f->sections.num_sections; i++)
		if (!f->maps[i] && f->sections.sections[i].type != TV_SECTION_SHARED_CODE)
			return -EINVAL;
	list = alloc_pages_exact(sizeof(*list), GFP_KERNEL | __GFP_ZERO);
	if (!list)
		return -ENOMEM;
	fill_list(f, request, list);
	result = call_register(f, list);
	free_pages_exact(list, sizeof(*list));
	f->registered = result == TV_OK;
	f->last = (struct tv_ioc_status){ .size = sizeof(f->last), .present = f->registered };
	return result;
}

static long ioctl_create(struct tv_file *f, const void __user *arg)
{
	struct tv_ioc_create request;
	long result;

	if (copy_from_user(&request, arg, sizeof(request)))
		return -EFAULT;
	if (request.size != sizeof(request))
		return -EINVAL;
	mutex_lock(&f->lock);
	result = create(f, &request);
	mutex_unlock(&f->lock);
	return result;
}

static long ioctl_register(struct tv_file *f, const void __user *arg)
{
	struct tv_ioc_register *request;
	long result = -EFAULT;
	u32 size;

	if (get_user(size, (const u32 __user *)arg))
		return -EFAULT;
	if (size != TV_IOC_REGISTER_SIZE_1 && size != sizeof(*request))
		return -EINVAL;
	request = kzalloc(sizeof(*request), GFP_KERNEL);
	if (!request)
		return -ENOMEM;
	if (!copy_from_user(request, arg, size)) { /* its own `size` may be another by now, and is not looked at */
		mutex_lock(&f->lock);
		result = register_pal(f, request);
		mutex_unlock(&f->lock);
	}
	kfree(request);
	return result;
}

static long ioctl_unregister(struct tv_file *f)
{
	long result = 0;

	mutex_lock(&f->lock);
	if (f->mm != current->mm)
		result = -EPERM;
	else if (!end_pal(f))
		result = TV_E_NO_PAL;
	if (!result && f->lost)
		result = TV_E_BUSY;
	mutex_unlock(&f->lock);
	return result;
}

static long ioctl_status(struct tv_file *f, void __user *arg)
{
	struct tv_ioc_status status;
	long result = 0;
	u32 size;

	if (get_user(size, (u32 __user *)arg))
		return -EFAULT;
	if (size != sizeof(status))
		return -EINVAL;
	mutex_lock(&f->lock);
	if (f->page_count && f->mm != current->mm)
		result = -EPERM; /* it tells of the PAL's addresses */
	else if (f->registered)
		result = read_status(f, &f->last);
	status = f->last;
	mutex_unlock(&f->lock);
	if (result == -EPERM)
		return result;
	status.size = sizeof(status);
	return copy_to_user(arg, &status, sizeof(status)) ? -EFAULT : result;
}

static long tv_ioctl(struct file *file, unsigned int request, unsigned long arg)
{
	struct tv_file *f = file->private_data;

	switch (request) {
	case TV_IOC_CREATE:
		return ioctl_create(f, (void __user *)arg);
	case TV_IOC_REGISTER:
		return ioctl_register(f, (void __user *)arg);
	case TV_IOC_UNREGISTER:
		return ioctl_unregister(f);
	case TV_IOC_STATUS:
		return ioctl_status(f, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

/* One page at most a call: programs write in a loop anyway. */
static ssize_t tv_write(struct file *file, const char __user *from, size_t len, loff_t *at)
{
	struct tv_file *f = file->private_data;
	uint offset = *at & ~PAGE_MASK;
	ssize_t done;
	u8 *copy;

	if (*at < 0 || *at >= (loff_t)TV_MAX_PAGES * PAGE_SIZE)
		return -EINVAL;
	len = min_t(size_t, len, PAGE_SIZE - offset);
	copy = (u8 *)__get_free_page(GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	done = copy_from_user(copy, from, len) ? -EFAULT : (ssize_t)len;
	mutex_lock(&f->lock);
	if (done > 0 && (f->registered || f->mm != current->mm))
		done = f->registered ? -EBUSY : -EPERM;
	else if (done > 0 && *at >> PAGE_SHIFT >= f->page_count)
		done = -EINVAL;
	if (done > 0) {
		memcpy(page_address(f->pages[*at >> PAGE_SHIFT]) + offset, copy, done);
		*at += done;
	}
	mutex_unlock(&f->lock);
	clear_page(copy);
	free_page((unsigned long)copy);
	return done;
}

/* ---- Files ---- */

static int tv_open(struct inode *inode, struct file *file)
{
	struct tv_file *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);

	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	f->user = current_uid();
	file->private_data = f;
	mutex_lock(&all_lock);
	list_add_tail(&f->all, &all_files);
	mutex_unlock(&all_lock);
	return 0;
}

/*
 * close() by the process whose PAL it is, or its death. Not by another one that has the file. The table of files does
 * not tell them apart: threads can have one each, and processes can share one. Nor does `mm`: a child of vfork() has
 * its parent's.
 */
static int tv_flush(struct file *file, fl_owner_t files)
{
	struct tv_file *f = file->private_data;

	mutex_lock(&f->lock);
	if (f->tgid == current->tgid)
		end_pal(f);
	mutex_unlock(&f->lock);
	return 0;
}

static int tv_release(struct inode *inode, struct file *file)
{
	struct tv_file *f = file->private_data;

	end_pal(f); /* nobody else has the file any more */
	mutex_lock(&all_lock);
	list_del(&f->all);
	mutex_unlock(&all_lock);
	if (!f->lost)
		free_pages_of(f);
	if (f->mm)
		mmdrop(f->mm);
	kfree(f);
	return 0;
}

static const struct file_operations file_ops = {
	.owner = THIS_MODULE,
	.open = tv_open,
	.release = tv_release,
	.flush = tv_flush,
	.mmap = tv_mmap,
	.write = tv_write,
	.llseek = default_llseek,
	.unlocked_ioctl = tv_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

/* ---- What /sys shows ---- */

static ssize_t level_show(struct device *dev, struct device_attribute *attr, char *out)
{
	return sysfs_emit(out, "%u\n", level);
}
static DEVICE_ATTR_RO(level);

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#define TV_BIN_ATTR const struct bin_attribute
#else
#define TV_BIN_ATTR struct bin_attribute
#endif

/* A line of `pals`: process, its name, pages, state, calls, enum tv_why. Its length. */
static int line_of(struct tv_file *f, char *line, size_t size)
{
	struct tv_ioc_status status = f->last;

	if (f->registered)
		read_status(f, &status);
	/* A process chooses its name, newlines included. */
	return scnprintf(line, size, "%d %*pE pages %u %s calls %u why %u\n", f->tgid, (int)strlen(f->comm), f->comm,
			 f->page_count, status.present ? "registered" : f->registered ? "ended" : "idle",
			 status.calls, status.why);
}

/*
 * For each file with pages a line, from byte `at` of all lines on. A reader gets them in pieces: a PAL that comes or
 * goes between two of them shifts what follows.
 */
static ssize_t pals_read(struct file *file, struct kobject *kobj, TV_BIN_ATTR *attr, char *out, loff_t at,
			 size_t count)
{
	struct tv_file *f;
	size_t done = 0;
	char line[160];

	mutex_lock(&all_lock);
	list_for_each_entry(f, &all_files, all) {
		int len = f->page_count ? line_of(f, line, sizeof(line)) : 0;
		size_t part;

		if (at >= len) { /* before what is read */
			at -= len;
			continue;
		}
		part = min_t(size_t, len - at, count - done);
		memcpy(out + done, line + at, part);
		done += part;
		at = 0;
		if (done == count)
			break;
	}
	mutex_unlock(&all_lock);
	return done;
}
static TV_BIN_ATTR bin_attr_pals = __BIN_ATTR(pals, 0400, pals_read, NULL, 0);

static ssize_t calls_show(struct device *dev, struct device_attribute *attr, char *out)
{
	return sysfs_emit(out, "%llu\n", ended_calls);
}
static DEVICE_ATTR_RO(calls);

static ssize_t faults_show(struct device *dev, struct device_attribute *attr, char *out)
{
	return sysfs_emit(out, "%llu\n", ended_faults);
}
static DEVICE_ATTR_RO(faults);

static struct attribute *trustvisor_attrs[] = {
	&dev_attr_level.attr, &dev_attr_calls.attr, &dev_attr_faults.attr, NULL,
};
static TV_BIN_ATTR *trustvisor_bin_attrs[] = { &bin_attr_pals, NULL };
static const struct attribute_group trustvisor_group = {
	.attrs = trustvisor_attrs, .bin_attrs = trustvisor_bin_attrs,
};
static const struct attribute_group *trustvisor_groups[] = { &trustvisor_group, NULL };

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "trustvisor",
	.fops = &file_ops,
	.mode = 0600, /* who may register is the administrator's to say: chmod, udev */
	.groups = trustvisor_groups,
};

static int __init trustvisor_init(void)
{
	level = detect(0) ? 1 : detect(l2_base) ? 2 : 0;
	if (!level)
		return -ENODEV;
	pr_info("trustvisor: serves L%u\n", level);
	return misc_register(&device);
}

static void __exit trustvisor_exit(void)
{
	misc_deregister(&device);
}

module_init(trustvisor_init);
module_exit(trustvisor_exit);
MODULE_DESCRIPTION("TrustVisor's PALs, by consent of the operating system");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0");
